"""What of a launch is recorded, and that nothing stays open after one that ended badly."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from workplace import Workplace

from bench.cells.grid import enumerate_grid
from bench.ledger.ledger import Claim, Ledger
from bench.ledger.outcome import Outcome
from bench.record.outbox import Outbox
from bench.record.recorder import STATUS, Recorder
from bench.record.tracking import Tracker
from bench.record.words import Words
from bench.spec import Study
from gpt.config import RunConfig

STUDY = Study(lambda trial: RunConfig())  # noqa: ARG005
ENVIRONMENT = {"python": "3", "platform": "here", "code": "abc"}


def begin(place: Workplace, stack: ExitStack) -> tuple[Claim, Recorder]:
    """A launch with one run under way."""
    path = place.journal()
    ledger = stack.enter_context(
        Ledger.open(path, STUDY, overrides={}, identity={"grid": "another"})
    )
    recorder = stack.enter_context(
        Recorder(
            Outbox(Tracker("tiny", ""), place.folder / "unsent"),
            "tiny",
            STUDY,
            ledger=ledger,
            environment=ENVIRONMENT,
        )
    )
    ledger.enqueue(enumerate_grid(STUDY, {}).cells, 1)
    claim = ledger.claim()
    assert claim
    recorder.start(claim, None)
    return claim, recorder


def test_every_outcome_has_a_word_of_mlflow_s() -> None:
    assert set(STATUS) == set(Outcome)
    assert {outcome for outcome, status in STATUS.items() if status == "FINISHED"} == {
        outcome for outcome in Outcome if outcome.answers
    }


def test_an_error_closes_the_launch_with_its_reason(place: Workplace) -> None:
    stack = ExitStack()
    begin(place, stack)
    stack.__exit__(RuntimeError, RuntimeError("no luck"), None)

    [launch] = place.records("launch")
    assert launch.info.status == "FAILED"
    assert "no luck" in launch.data.tags["reason"]


def test_a_run_that_was_recorded_but_not_settled_counts_as_interrupted(place: Workplace) -> None:
    """Its launch was killed between the two; the next one does the run again."""
    with ExitStack() as stack:
        claim, recorder = begin(place, stack)
        recorder.finish(
            claim,
            Outcome.COMPLETE,
            reason="",
            points=[],
            summary={"val_loss": 2.0},
            folder=place.folder / "files",
            facts={},
        )
        recorder.close("", Words(), interrupted=False)
    assert [run.info.status for run in place.records()] == ["FINISHED"]

    with ExitStack() as stack:
        _, recorder = begin(place, stack)
        recorder.close("", Words(), interrupted=False)
    outcomes = {run.info.status: run.data.tags.get("outcome") for run in place.records()}
    assert outcomes == {"KILLED": "interrupted", "RUNNING": None}


def test_a_verdict_comes_with_the_name_that_its_cell_has_now(place: Workplace) -> None:
    """A grid that grew may need longer names; a cell that it lost keeps its own."""
    [cell] = enumerate_grid(STUDY, {}).cells
    with ExitStack() as stack:
        _, recorder = begin(place, stack)
        recorder.close("", Words(verdicts={cell.key: "left out"}), interrupted=False)
        [run] = place.records()
        assert (run.data.tags["verdict"], run.data.tags["cell"]) == ("left out", "single")
        names = {cell.key: "a None b x"}
        words = Words(verdicts={cell.key: "worse"}, names=names)
        recorder.close("", words, interrupted=False)
    [run] = place.records()
    assert (run.data.tags["verdict"], run.data.tags["cell"]) == ("worse", "a None b x")


def test_what_a_killed_launch_left_open_is_closed_by_a_fresh_one_too(place: Workplace) -> None:
    """The new ledger knows those that it replaced."""
    with ExitStack() as stack:
        _, recorder = begin(place, stack)
        recorder.close("", Words(), interrupted=False)  # all is sent; it is killed
        [launch] = place.records("launch")
        place.client.set_terminated(launch.info.run_id, "RUNNING")
    assert {run.info.status for run in place.records()} == {"RUNNING"}

    for _ in range(2):  # the first could have been killed before it looked
        path, identity = place.journal(), {"grid": "one more"}
        with Ledger.open(path, STUDY, overrides={}, identity=identity, fresh=True) as ledger:
            pass
    assert len(ledger.replaced) == 2

    result = place.run(place.write(options="seeds=1"), "--fresh")
    assert result.exit_code == 0, result.output
    assert sorted(run.info.status for run in place.records()) == ["FINISHED", "FINISHED", "KILLED"]
    statuses = [run.info.status for run in place.records("launch")]
    assert sorted(statuses) == ["FINISHED", "KILLED"]


def report_of(place: Workplace, text: str) -> Path:
    path = place.folder / "a report.html"
    path.write_text(text, "utf-8")
    return path


def attached(launch: Run) -> str:
    place = Path(launch.info.artifact_uri.removeprefix("file://"))
    return (place / "report.html").read_text("utf-8")


def test_a_report_is_an_artifact_of_the_latest_launch_which_opens_on_it(place: Workplace) -> None:
    """After the launch is closed, and again by a later process that makes no launch."""
    with ExitStack() as stack:
        _, recorder = begin(place, stack)
        assert "report" not in recorder.close("the board", Words(), interrupted=False)
        address = recorder.attach_report(report_of(place, "first"))["report"]
    [launch] = place.records("launch")
    assert attached(launch) == "first"
    page = f"#/experiments/{launch.info.experiment_id}/runs/{launch.info.run_id}/artifacts/"
    assert page + "report.html" in address
    note = launch.data.tags["mlflow.note.content"]
    assert note.startswith("[**Open the report**](" + page)
    assert "the board" in note

    with (
        Ledger.open(place.journal(), STUDY, overrides={}, identity={"grid": "another"}) as ledger,
        Recorder(
            Outbox(Tracker("tiny", ""), place.folder / "unsent"),
            "tiny",
            STUDY,
            ledger=ledger,
            environment=ENVIRONMENT,
        ) as recorder,
    ):
        assert recorder.close("", Words(), interrupted=False)["report"] == address
        assert recorder.attach_report(report_of(place, "second"))["report"] == address
    [launch] = place.records("launch")
    assert attached(launch) == "second"
    assert launch.data.tags["mlflow.note.content"] == note
    assert not (place.folder / "unsent").exists()


def test_a_report_that_cannot_be_sent_is_sent_by_a_later_launch(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log_artifacts(*_: object, **__: object) -> None:
        raise OSError("the disk of the store is away")

    with ExitStack() as stack, monkeypatch.context() as patch:
        _, recorder = begin(place, stack)
        recorder.close("", Words(), interrupted=False)
        patch.setattr(MlflowClient, "log_artifacts", log_artifacts)
        assert "report" not in recorder.attach_report(report_of(place, "late"))
        assert "is away" in recorder.missing[0]
    (place.folder / "a report.html").unlink()

    with ExitStack() as stack:
        _, recorder = begin(place, stack)
        recorder.close("", Words(), interrupted=False)
        assert recorder.missing == []
    earlier = [run for run in place.records("launch") if "gpt_bench.report" in run.data.tags]
    assert [attached(launch) for launch in earlier] == ["late"]
