"""Every cell once, whoever is killed: workers, parents, by whichever signal (rule 13).

Each study here is stopped in mid-run, which is known by the files that a run leaves as it begins
and at its first evaluation; then the same command goes on.
"""

import os
import re
import signal
from collections import Counter

import psutil
import pytest
from workplace import Workplace, gone, meanwhile, wait_until, workers_of

from bench.ledger.attempts import MAX_ATTEMPTS
from bench.report.story import Story
from bench.system.scratch import scratch_folder

STEPS = 400
ENDLESS = 10_000_000

pytestmark = pytest.mark.slow


def assert_each_run_once(place: Workplace) -> None:
    """In the ledger and in MLflow, which has nothing left open."""
    once = Counter(f"n_head {n_head} · {seed}" for n_head in (1, 2) for seed in (0, 1))
    entries = place.entries()
    records = place.records()
    finished = [run for run in records if run.info.status == "FINISHED"]

    assert Counter(f"{e.label} · {e.config.train.seed}" for e in entries) == once
    assert {str(entry.outcome) for entry in entries} == {"complete"}
    assert Counter(run.info.run_name for run in finished) == once
    assert {run.data.tags["outcome"] for run in finished} == {"complete"}
    assert {run.info.status for run in [*records, *place.records("launch")]} <= {
        "FINISHED",
        "FAILED",
        "KILLED",
    }


def workers_in_mid_run(place: Workplace, pid: int) -> list[psutil.Process]:
    """The workers of a launch, once one of them has evaluated its run and goes on with it."""
    wait_until(place.at_work)
    return workers_of(pid)


def test_a_killed_worker_s_run_is_repeated(place: Workplace) -> None:
    def kill() -> None:
        [worker] = workers_in_mid_run(place, os.getpid())
        worker.kill()

    with meanwhile(kill):
        result = place.run(place.write(steps=STEPS), "--workers", 1)

    assert result.exit_code == 0, result.output
    assert_each_run_once(place)
    [killed] = [run for run in place.records() if run.info.status != "FINISHED"]
    assert killed.data.tags["outcome"] == "failed"
    assert "SIGKILL" in killed.data.tags["reason"]
    assert workers_of(os.getpid()) == []


def test_a_run_that_kills_its_worker_each_time_is_given_up(place: Workplace) -> None:
    def kill_each() -> None:
        for attempt in range(MAX_ATTEMPTS):
            wait_until(lambda: place.at_work(attempt, "config.json"))  # noqa: B023
            [worker] = workers_of(os.getpid())
            worker.kill()

    study = place.write(steps=ENDLESS, cell="return BASE", options="seeds=1")
    with meanwhile(kill_each):
        result = place.run(study, "--workers", 1)

    assert result.exit_code == 5
    [entry] = place.entries()
    assert str(entry.outcome) == "failed"
    assert "failed: single · seed 0: its process was killed by SIGKILL" in result.stdout
    assert [run.info.status for run in place.records()] == ["FAILED"] * MAX_ATTEMPTS


def test_the_same_command_goes_on_after_the_parent_was_killed(place: Workplace) -> None:
    study = place.write(steps=STEPS)
    process = place.start(study, "--workers", 2)
    workers = workers_in_mid_run(place, process.pid)
    process.kill()
    process.communicate()
    assert len(workers) == 2
    assert gone(workers)
    assert "RUNNING" in {run.info.status for run in place.records()}

    result = place.run(study, "--workers", 2)
    assert result.exit_code == 0, result.output
    assert_each_run_once(place)


def test_no_process_outlives_a_killed_parent(place: Workplace) -> None:
    """Not even a worker with nothing to say for hours; what is left on the disk goes next time."""
    study = place.write(steps=ENDLESS, options="seeds=1")
    process = place.start(study, "--workers", 2, "--set", "log_interval=1000000000")
    wait_until(lambda: place.at_work(file="config.json"))
    wait_until(
        lambda: len(place.records()) == 2
    )  # both have said that they begin: their last word
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate(timeout=300)  # it ends when nobody holds stdout any more
    assert len(family) >= 4  # two workers, their server, Python's resource tracker
    assert gone(family)

    assert list(place.temporary.glob("gpt-bench-*/*/config.json"))
    with scratch_folder() as ours:
        assert list(place.temporary.glob("gpt-bench-*")) == [ours]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_in_order_and_the_same_command_goes_on(
    place: Workplace, number: signal.Signals, code: int
) -> None:
    """As a terminal's Ctrl-C and a scheduler's preemption come: to the whole process group.

    In a locale that can't write the · in a run's name.
    """
    study = place.write(steps=STEPS)
    process = place.start(study, "--workers", 2, LC_ALL="C", PYTHONUTF8="0")
    workers = workers_in_mid_run(place, process.pid)
    os.killpg(process.pid, number)
    stdout, stderr = process.communicate(timeout=300)

    assert process.returncode == code, stderr
    first, *ended = stderr.splitlines()
    assert first.startswith("1 text ready")
    assert all(re.fullmatch(r"\[\d/4\] n_head \d - seed \d  .*", line) for line in ended), ended
    assert re.search(r"interrupted: n_head \d - seed \d", stdout), stdout
    assert "The same command goes on from here" in stdout
    assert gone(workers)
    assert list(place.temporary.glob("gpt-bench-*")) == []
    outcomes = {str(entry.outcome) for entry in place.entries()}
    assert "interrupted" in outcomes
    assert outcomes <= {"interrupted", "complete"}
    assert {run.info.status for run in place.records()} <= {"KILLED", "FINISHED"}
    assert [run.info.status for run in place.records("launch")] == ["KILLED"]
    assert Story.of("tiny").unfinished.startswith("This study is not finished: ")

    result = place.run(study, "--workers", 2)
    assert result.exit_code == 0, result.output
    assert Story.of("tiny").unfinished == ""
    assert_each_run_once(place)


def test_two_signals_stop_at_once(place: Workplace) -> None:
    def interrupt_twice() -> None:
        wait_until(lambda: place.at_work(file="config.json"))
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    with meanwhile(interrupt_twice):
        result = place.run(place.write(steps=ENDLESS), "--workers", 2)

    assert result.exit_code == 130
    assert {str(entry.outcome) for entry in place.entries()} == {"interrupted"}
    assert {run.info.status for run in place.records()} == {"KILLED"}
    assert workers_of(os.getpid()) == []


def test_a_second_launch_in_the_same_folder_is_refused(place: Workplace) -> None:
    study = place.write(steps=ENDLESS)
    seen = []

    def launch_again() -> None:
        wait_until(lambda: place.at_work(file="config.json"))
        process = place.start(study)
        seen.append((process.communicate(timeout=300)[1], process.returncode))
        os.kill(os.getpid(), signal.SIGINT)

    with meanwhile(launch_again):
        result = place.run(study, "--workers", 1)

    assert result.exit_code == 130
    [(stderr, code)] = seen
    assert code == 4, stderr
    assert stderr.startswith("error: one launch at a time")
    assert len(stderr.splitlines()) == 1
