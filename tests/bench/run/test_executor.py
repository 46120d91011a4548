"""Tasks in, messages out, whatever becomes of the processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace

import pytest
from streams import ends, stream, until_points
from workplace import gone, workers_of

from bench.ledger.outcome import Outcome
from bench.run.executor import Died, LocalExecutor
from bench.run.messages import Finished, Prepare, Prepared, Started, Train
from gpt.config import RunConfig
from gpt.errors import DataError
from gpt.training.loop import Point

Pool = Callable[[int], LocalExecutor]


def test_a_task_s_messages_come_in_order_and_end_with_finished(
    start_executor: Pool, tiny: RunConfig, endless: Train
) -> None:
    executor = start_executor(1)
    executor.submit("run", replace(endless, config=tiny))
    events = []
    for name, event in stream(executor):
        assert name == "run"
        events.append(event)
        if isinstance(event, Finished):
            break

    assert isinstance(events[0], Started)
    points = [event for event in events if isinstance(event, Point)]
    assert events == [events[0], *points, events[-1]]
    assert [p.step for p in points] == sorted({p.step for p in points})
    assert points[-1].step == 12
    assert events[-1].outcome is Outcome.COMPLETE
    assert events[0].facts["threads"] == 1


def test_one_worker_takes_tasks_in_their_order(start_executor: Pool, prepare: Prepare) -> None:
    executor = start_executor(1)
    for i in range(5):
        executor.submit(str(i), prepare)

    assert [name for name, _ in ends(executor, 5)] == ["0", "1", "2", "3", "4"]


def test_no_task_is_lost_on_the_heels_of_another(start_executor: Pool, prepare: Prepare) -> None:
    """Each worker gets its next task in the moment in which it reports the end of the last."""
    executor = start_executor(2)
    names = {str(i) for i in range(100)}
    for name in names:
        executor.submit(name, prepare)

    finished = ends(executor, 100)
    assert {name for name, _ in finished} == names
    assert {event.outcome for _, event in finished} == {Outcome.COMPLETE}
    assert executor.n_free == 2


def test_a_task_submitted_at_an_end_is_not_lost(start_executor: Pool, prepare: Prepare) -> None:
    executor = start_executor(1)
    for i in range(30):
        executor.submit(str(i), prepare)
        assert [name for name, _ in ends(executor, 1)] == [str(i)]


def test_workers_are_counted_as_they_are_free(
    start_executor: Pool, endless: Train, prepare: Prepare
) -> None:
    executor = start_executor(2)
    assert executor.n_free == 2
    executor.submit("long", endless)
    assert executor.n_free == 1
    executor.submit("short", prepare)
    executor.submit("waits", prepare)
    assert executor.n_free == 0


def test_a_run_that_is_told_to_stop_does_so_and_its_worker_goes_on(
    start_executor: Pool, endless: Train, prepare: Prepare
) -> None:
    executor = start_executor(1)
    executor.submit("run", endless)
    until_points(executor, "run")
    for _ in range(3):  # asked again and again
        executor.stop("run")
    [(name, event)] = ends(executor, 1)
    assert (name, event.outcome) == ("run", Outcome.INTERRUPTED)
    assert "stopped at step" in event.reason

    executor.stop("run")  # too late
    executor.stop("never heard of")
    executor.submit("next", prepare)
    assert [(name, e.outcome) for name, e in ends(executor, 1)] == [("next", Outcome.COMPLETE)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_death_is_an_event_with_its_cause_and_the_place_is_filled(
    start_executor: Pool, endless: Train, prepare: Prepare, number: signal.Signals
) -> None:
    executor = start_executor(1)
    executor.submit("run", endless)
    until_points(executor, "run")
    [worker] = workers_of(os.getpid())
    worker.send_signal(number)

    [(name, event)] = ends(executor, 1)
    assert (name, event) == ("run", Died(f"its process was killed by {number.name}"))
    executor.submit("next", prepare)
    assert [(name, e.outcome) for name, e in ends(executor, 1)] == [("next", Outcome.COMPLETE)]


def test_a_worker_that_died_while_idle_costs_one_task(
    start_executor: Pool, prepare: Prepare
) -> None:
    executor = start_executor(1)
    [worker] = workers_of(os.getpid())
    worker.kill()
    assert gone([worker])
    for name in ("first", "second"):
        executor.submit(name, prepare)

    (first, died), (second, finished) = ends(executor, 2)
    assert (first, died) == ("first", Died("its process was killed by SIGKILL"))
    assert (second, finished.outcome) == ("second", Outcome.COMPLETE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_is_the_parent_s_to_heed(
    start_executor: Pool, endless: Train, number: signal.Signals
) -> None:
    executor = start_executor(1)
    executor.submit("run", endless)
    until_points(executor, "run")
    [worker] = workers_of(os.getpid())
    server = worker.parent()
    assert server is not None
    for process in (worker, server):
        process.send_signal(number)
    for _ in range(3):
        until_points(executor, "run")
    executor.stop("run")
    assert [event.outcome for _, event in ends(executor, 1)] == [Outcome.INTERRUPTED]
    assert worker.parent() == server  # which would be another, had it died


def test_closing_ends_every_process_at_work_or_not(endless: Train) -> None:
    executor = LocalExecutor(2, n_threads=1)
    executor.submit("run", endless)
    until_points(executor, "run")
    workers = workers_of(os.getpid())
    assert len(workers) == 2

    executor.close()
    executor.close()
    assert gone(workers)
    assert workers_of(os.getpid()) == []


def test_a_long_name_of_the_folder_for_temporary_files_is_no_obstacle(tmp_path: Path) -> None:
    """In a process of its own: the server is started once a process, and starts no worker here."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    program = (
        "import tempfile; from bench.run import forkserver; forkserver.PRELOADED.clear()\n"
        "forkserver.start(); print(tempfile.gettempdir())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"TMPDIR": str(long)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{long}\n"), done.stderr


def test_closing_waits_once_for_all_that_do_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three idle workers that are stopped in their tracks have one time together, not each."""
    asked: list[float] = []
    executor = LocalExecutor(3, n_threads=1)
    monkeypatch.setattr("bench.run.executor.LEAVE_SECONDS", 0.3)
    clock = SimpleNamespace(monotonic=lambda: sum(asked))
    monkeypatch.setattr("bench.run.executor.time", clock)
    workers = workers_of(os.getpid())
    for worker in workers:
        worker.suspend()
    join = BaseProcess.join

    def joined(process: BaseProcess, timeout: float | None = None) -> None:
        asked.append(timeout or 0.0)
        join(process, timeout)

    monkeypatch.setattr(BaseProcess, "join", joined)
    executor.close()
    assert sum(asked) == pytest.approx(0.3)
    assert gone(workers)


def test_what_is_wrong_with_a_task_comes_back_as_its_outcome(
    start_executor: Pool, faulty: Prepare
) -> None:
    executor = start_executor(1)
    executor.submit("empty", faulty)

    [(_, event)] = ends(executor, 1)
    assert event.outcome is Outcome.FAILED
    assert isinstance(event.error, DataError)
    assert event.reason == str(event.error)


def test_preparing_a_text_says_what_it_came_to(start_executor: Pool, prepare: Prepare) -> None:
    executor = start_executor(1)
    executor.submit("text", prepare)
    prepared = next(event for _, event in stream(executor))

    assert isinstance(prepared, Prepared)
    assert prepared.corpus_digest
