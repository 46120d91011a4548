"""What the scheduler finds out about its runs that no worker can know."""

import io
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
from ledgers import GRID, SUMMARY, Open, name
from rich.console import Console

from bench.cells.grid import enumerate_grid
from bench.conduct.progress import Progress
from bench.conduct.scheduler import Scheduler
from bench.conduct.texts import Texts, prepare_texts
from bench.ledger.ledger import Claim, Ledger
from bench.ledger.outcome import Outcome
from bench.record.recorder import Recorder
from bench.run.cost import text_key
from bench.run.executor import Died, Event, Executor
from bench.run.messages import Finished, Folders, Prepared, Started, Task, Train
from bench.system.interruption import Interruption, Stopped
from gpt.errors import MachineError
from gpt.training.loop import Point

POINT = Point(
    step=1, n_tokens=1, n_bytes=1, progress=0.1, train_loss=1.0, learning_rate=0.1, grad_norm=1.0,
    tokens_per_second=1.0, step_milliseconds=1.0, peak_memory_bytes=1, seconds={},
    evaluation=None, estimate=None,
)  # fmt: skip


class TwoAtATime:
    """An executor that trains nothing, and gives each run as many points as it is told."""

    n_workers = 2
    devices = ("cpu", "cuda")

    def __init__(self, n_points: Mapping[int, int]) -> None:
        self._n_points = n_points
        self._busy: dict[str, deque[Event]] = {}
        self._n_begun = 0

    @property
    def n_free(self) -> int:
        return 2 - len(self._busy)

    def submit(self, name: str, task: Task) -> None:
        assert isinstance(task, Train)
        n_points = self._n_points[self._n_begun]
        self._n_begun += 1
        started = Started(config=task.config, facts={"threads": 1}, n_steps=n_points)
        finished = Finished(outcome=Outcome.COMPLETE, summary=dict(SUMMARY))
        self._busy[name] = deque([started, *[POINT] * n_points, finished])

    def events(self, _: float) -> Iterator[tuple[str, Event]]:
        """One of each run at work, in turn."""
        for task in list(self._busy):
            event = self._busy[task].popleft()
            if not self._busy[task]:
                del self._busy[task]
            yield task, event

    def stop(self, _: str) -> None:
        raise AssertionError("nothing is to be stopped")

    def close(self) -> None:
        self._busy.clear()


class Record:
    """Keeps the facts that each run was recorded with."""

    def __init__(self) -> None:
        self.facts: dict[str, Mapping[str, Any]] = {}

    def start(self, claim: Claim, started: Started | None) -> None:
        pass

    def log(self, claim: Claim, point: Point) -> None:
        pass

    def finish(self, claim: Claim, _: Outcome, **content: Any) -> None:
        self.facts[name(claim)] = content["facts"]


def side_by_side(open_ledger: Open, folder: Path, n_points: Sequence[int]) -> list[int]:
    """Of each run, in the order in which they were begun, what the ledger and the record say."""
    record = Record()
    with open_ledger(GRID, seeds=1) as ledger, Interruption() as interruption:
        Scheduler(
            ledger=ledger,
            executor=cast(Executor, TwoAtATime(dict(enumerate(n_points)))),
            recorder=cast(Recorder, record),
            progress=Progress(Console(stderr=True)),
            metric="val_bits_per_byte",
            texts=Texts(ready={}, infeasible={}, corpora={}),
            folders=Folders(cache=folder, corpora_dir=None),
            folder=folder,
        ).run(interruption)
        entries = ledger.entries()
    assert [record.facts[name(entry)] for entry in entries] == [
        {"runs_side_by_side": entry.facts["runs_side_by_side"]} for entry in entries
    ]
    assert {entry.facts["threads"] for entry in entries} == {1}
    assert all(0 <= entry.facts["run_seconds"] < 600 for entry in entries)  # what it took in all
    return [entry.facts["runs_side_by_side"] for entry in entries]


@pytest.mark.parametrize(
    ("n_points", "counted"),
    [([5, 5, 5], [2, 2, 1]), ([1, 11, 1], [2, 1, 2])],  # the third begins when the first ends
)
def test_a_run_counts_those_beside_it_at_most_of_its_points(
    open_ledger: Open, tmp_path: Path, n_points: list[int], counted: list[int]
) -> None:
    assert side_by_side(open_ledger, tmp_path, n_points) == counted


FULL = MachineError("the disk must take what a run leaves but [Errno 28] No space left on device")


class FullDisk(TwoAtATime):
    """Both runs begin; then the first meets a full disk."""

    def submit(self, name: str, task: Task) -> None:
        super().submit(name, task)
        if self._n_begun == 1:
            finished = Finished(outcome=Outcome.INTERRUPTED, reason=str(FULL), error=FULL)
            self._busy[name] = deque([self._busy[name][0], finished])


class FullRecord(Record):
    """What can't be kept of the other run either, and would hide the cause."""

    def finish(self, claim: Claim, outcome: Outcome, **content: Any) -> None:
        super().finish(claim, outcome, **content)
        if content["reason"] == "the launch was stopped":
            raise FileExistsError("the copy of its files")


def test_a_full_disk_ends_a_launch_with_its_cause(open_ledger: Open, tmp_path: Path) -> None:
    with open_ledger(GRID, seeds=1) as ledger, Interruption() as interruption:
        scheduler = Scheduler(
            ledger=ledger,
            executor=cast(Executor, FullDisk(dict.fromkeys(range(3), 5))),
            recorder=cast(Recorder, FullRecord()),
            progress=Progress(Console(file=io.StringIO())),
            metric="val_bits_per_byte",
            texts=Texts(ready={}, infeasible={}, corpora={}),
            folders=Folders(cache=tmp_path, corpora_dir=None),
            folder=tmp_path,
        )
        with pytest.raises(MachineError, match="No space left"):
            scheduler.run(interruption)
    with open_ledger(GRID, seeds=1) as ledger:  # the same command
        assert {entry.outcome for entry in ledger.entries()} == {Outcome.INTERRUPTED}
        assert ledger.n_left() == len(enumerate_grid(GRID, {}).cells)


def test_a_stop_while_texts_are_made_is_told_so(tmp_path: Path) -> None:
    """In the time of a poll, with the exit code of the signal; nothing is left to finish off."""
    executor = Mock(events=Mock(return_value=[]))
    config = enumerate_grid(GRID, {}).cells[0].config
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped) as stopped:
            prepare_texts(
                [config],
                executor,
                Folders(cache=tmp_path, corpora_dir=None),
                Progress(Console(file=io.StringIO())),
                interruption,
            )
    assert (stopped.value.code, stopped.value.words) == (
        143,
        "Stopped before anything was trained.",
    )


def test_a_text_is_made_once_and_for_the_longest_block(tmp_path: Path) -> None:
    config = enumerate_grid(GRID, {}).cells[0].config
    blocks = [replace(config, model=replace(config.model, block_size=n)) for n in (8, 32, 16)]
    executor = Mock(events=Mock(return_value=[]))
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Stopped):
            prepare_texts(
                blocks,
                executor,
                Folders(cache=tmp_path, corpora_dir=None),
                Progress(Console(file=io.StringIO())),
                interruption,
            )
    [(_, task)] = [call.args for call in executor.submit.call_args_list]
    assert task.config.model.block_size == 32


def test_a_run_is_told_which_text_it_must_find(open_ledger: Open, tmp_path: Path) -> None:
    """By the tokenizer of each: those of one corpus are not mistaken for one another."""
    configs = [cell.config for cell in enumerate_grid(GRID, {}).cells]
    ready = {
        text_key(config): Prepared(corpus_digest="c", tokenizer_digest=config.tokenizer.kind)
        for config in configs
    }
    told = []

    class Listening(TwoAtATime):
        def submit(self, name: str, task: Task) -> None:
            assert isinstance(task, Train)
            told.append((task.text, ready[text_key(task.config)]))
            super().submit(name, task)

    with open_ledger(GRID, seeds=1) as ledger, Interruption() as interruption:
        Scheduler(
            ledger=ledger,
            executor=cast(Executor, Listening(dict.fromkeys(range(9), 1))),
            recorder=cast(Recorder, Record()),
            progress=Progress(Console(file=io.StringIO())),
            metric="val_bits_per_byte",
            texts=Texts(ready=ready, infeasible={}, corpora={}),
            folders=Folders(cache=tmp_path, corpora_dir=None),
            folder=tmp_path,
        ).run(interruption)
    assert len(told) == len(configs)
    assert all(text == wanted for text, wanted in told)


class Watched(TwoAtATime):
    """The first run begun gets these events; one that is asked to stop goes on."""

    def __init__(self, *events: Event) -> None:
        super().__init__(dict.fromkeys(range(9), 1))
        self._first = deque(events)
        self.asked: list[str] = []

    def submit(self, name: str, task: Task) -> None:
        super().submit(name, task)
        if self._n_begun == 1:
            self._busy[name] = self._first

    def stop(self, name: str) -> None:
        self.asked.append(name)


def launched(
    ledger: Ledger, executor: Watched, folder: Path, record: Record | None = None
) -> list[str]:
    """Launch what a ledger holds; the lines that were shown."""
    shown = io.StringIO()
    with Interruption() as interruption:
        Scheduler(
            ledger=ledger,
            executor=cast(Executor, executor),
            recorder=cast(Recorder, record or Record()),
            progress=Progress(Console(file=shown)),
            metric="val_bits_per_byte",
            texts=Texts(ready={}, infeasible={}, corpora={}),
            folders=Folders(cache=folder, corpora_dir=None),
            folder=folder,
        ).run(interruption)
    return shown.getvalue().splitlines()


def test_a_run_that_is_tried_again_is_one_more_to_wait_for(
    open_ledger: Open, tmp_path: Path
) -> None:
    died = Died("its process was killed by SIGKILL")
    with open_ledger(GRID, seeds=1) as ledger:
        n = len(enumerate_grid(GRID, {}).cells)
        lines = launched(ledger, Watched(died), tmp_path)
    first = next(line for line in lines if "SIGKILL" in line)
    assert first.startswith(f"[1/{n}] ")
    assert lines[-1].startswith(f"[{n + 1}/{n + 1}] ")


def test_a_run_that_ends_as_it_is_pruned_has_ended(
    open_ledger: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last point was on its way already: nothing was cut short."""
    point = replace(POINT, evaluation=cast(Any, Mock(bits_per_byte=2.0, loss=1.0)))
    monkeypatch.setattr(Ledger, "should_prune", lambda *_: True)
    with open_ledger(GRID, seeds=1) as ledger:
        executor = Watched(point, Finished(outcome=Outcome.COMPLETE, summary=dict(SUMMARY)))
        launched(ledger, executor, tmp_path)
        assert {entry.outcome for entry in ledger.entries()} == {Outcome.COMPLETE}
    assert len(executor.asked) == 1


@pytest.mark.parametrize(
    ("seen", "told"),
    [({"val_part": 2.0, "evaluation": None}, 2.0), ({"val_part": 2.0, "evaluation": 9.0}, 2.0),
     ({"val_part": None, "evaluation": 9.0}, 9.0), ({"val_part": None, "evaluation": None}, None)],
)  # fmt: skip
def test_a_pruner_is_told_what_each_evaluation_has(
    seen: dict[str, float | None],
    told: float | None,
    open_ledger: Open,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the part of the text, also at the end, where the whole of it is measured too."""
    reported: list[float] = []
    monkeypatch.setattr(
        Ledger, "should_prune", lambda _ledger, _claim, _n, value: reported.append(value)
    )
    measured = {
        name: None if value is None else cast(Any, Mock(bits_per_byte=value, loss=7.0))
        for name, value in seen.items()
    }
    with open_ledger(GRID, seeds=1) as ledger:
        finished = Finished(outcome=Outcome.COMPLETE, summary=dict(SUMMARY))
        launched(ledger, Watched(replace(POINT, **measured), finished), tmp_path)
    assert reported == ([] if told is None else [told])


def test_what_is_settled_has_been_recorded(open_ledger: Open, tmp_path: Path) -> None:
    """For what the ledger calls done is never recorded again."""
    with open_ledger(GRID, seeds=1) as ledger:
        settled: list[int] = []

        class Looking(Record):
            def finish(self, claim: Claim, outcome: Outcome, **content: Any) -> None:
                super().finish(claim, outcome, **content)
                settled.append(len(ledger.entries()))

        n = len(enumerate_grid(GRID, {}).cells)
        launched(ledger, Watched(Finished(outcome=Outcome.FAILED)), tmp_path, Looking())
    assert settled == list(range(n))
