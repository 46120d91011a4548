"""What is to be recorded arrives in batches, in order, once, and after an outage too."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode
from requests import HTTPError, RequestException, Response
from servers import Server
from workplace import Workplace, wait_until

import bench.record.outbox
import bench.record.outbox_folder
from bench.record.outbox import Outbox
from bench.record.tracking import Tracker, is_outage

FULL = OSError(28, "No space left on device")


@pytest.fixture
def outbox(place: Workplace) -> Iterator[Outbox]:
    with Outbox(Tracker("tiny", ""), unsent(place)) as outbox:
        yield outbox


def unsent(place: Workplace) -> Path:
    """Where what waits is kept."""
    return place.folder / "mlruns" / "unsent" / "tiny"


def begin(outbox: Outbox, name: str = "a · 0") -> str:
    """A run of a launch, by our name."""
    launch = outbox.begin(Tracker.start_launch, "tiny", ledger="aaa", tags={})
    return outbox.begin(
        Tracker.start_run, name, launch=launch, ledger="aaa", params={"seed": 0}, tags={}
    )


def send(outbox: Outbox) -> None:
    """What waits, though the store fails a few times."""
    for _ in range(5):
        outbox.flush()
    assert outbox.unsent == ""


def files(place: Workplace) -> Path:
    """What a run leaves."""
    folder = place.folder / "files"
    folder.mkdir()
    (folder / "sample.txt").write_text("la la", "utf-8")
    return folder


def sample(place: Workplace) -> str:
    """What MLflow has of it."""
    [record] = place.records()
    return (Path(record.info.artifact_uri.removeprefix("file://")) / "sample.txt").read_text()


def test_metrics_are_sent_in_batches(
    outbox: Outbox, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than MLflow takes at once, in few calls."""
    sizes = []
    log_batch = MlflowClient.log_batch

    def counted(client: MlflowClient, run_id: str, **content: Any) -> None:
        sizes.append(len(content.get("metrics", ())))
        log_batch(client, run_id, **content)

    run = begin(outbox)
    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    for step in range(2500):
        outbox.log(run, step, {"train/loss": 1.0})
    outbox.finish(run, "FINISHED", tags={})
    outbox.flush()

    assert sum(sizes) == 2500
    assert max(sizes) == 1000
    assert len([size for size in sizes if size]) < 10
    [record] = place.records()
    history = place.client.get_metric_history(record.info.run_id, "train/loss")
    assert sorted(metric.step for metric in history) == list(range(2500))
    assert not unsent(place).exists()


def test_metrics_come_while_their_run_goes_on(
    outbox: Outbox, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.record.outbox, "FLUSH_SECONDS", 0.0)
    run = begin(outbox)
    outbox.log(run, 1, {"train/loss": 2.0})
    outbox.flush()

    [record] = place.records()
    assert (record.info.status, record.data.metrics) == ("RUNNING", {"train/loss": 2.0})


def test_the_end_does_not_wait_for_the_next_try(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that was away is tried at the end, however recently it was."""
    monkeypatch.setattr(bench.record.outbox, "RETRY_SECONDS", 1e6)
    with Outbox(Tracker("tiny", ""), unsent(place), patience=lambda: 5.0) as outbox:
        with monkeypatch.context() as patch:
            patch.setattr(outbox.tracker, "_client", MlflowClient("http://127.0.0.1:1"))
            begin(outbox)
            outbox.flush()
            assert "127.0.0.1" in outbox.unsent
        outbox.flush()
        assert outbox.unsent == ""


def test_a_create_whose_answer_was_lost_is_not_made_twice(
    server: Server, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.record.outbox, "RETRY_SECONDS", 0.0)
    with Outbox(Tracker("tiny", ""), unsent(place)) as outbox:
        server.loses = "runs/create"
        run = begin(outbox)
        outbox.finish(run, "FINISHED", tags={"outcome": "complete"})
        send(outbox)

    assert server.asked.count("/api/2.0/mlflow/runs/create") == 2
    [launch] = place.records("launch")
    [record] = place.records()
    assert record.info.status == "FINISHED"
    assert record.data.tags["mlflow.parentRunId"] == launch.info.run_id


def test_a_create_that_a_server_makes_late_is_deleted_again(
    outbox: Outbox, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stopped in the midst of it, and nobody found the run meanwhile."""
    monkeypatch.setattr(bench.record.outbox, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(Tracker, "find", lambda *_: None)
    create_run, created = MlflowClient.create_run, []

    def lost(client: MlflowClient, *arguments: Any) -> Any:
        created.append(create_run(client, *arguments))
        if len(created) == 2:
            raise RequestException("no answer")
        return created[-1]

    monkeypatch.setattr(MlflowClient, "create_run", lost)
    run = begin(outbox)
    outbox.finish(run, "FINISHED", tags={})
    send(outbox)

    launch, taken_for_lost, again = (run.info.run_id for run in created)
    assert place.client.get_run(taken_for_lost).info.lifecycle_stage == "deleted"
    assert [(run.info.run_id, run.info.status) for run in place.records()] == [(again, "FINISHED")]
    assert [run.info.run_id for run in place.records("launch")] == [launch]


def test_a_server_that_hangs_keeps_nobody_waiting(server: Server, place: Workplace) -> None:
    """Nothing here returns before the server goes on, if anything waits for it."""
    outbox = Outbox(Tracker("tiny", ""), unsent(place), patience=lambda: 0.0)
    server.hanging = True
    run = begin(outbox)
    outbox.log(run, 1, {"train/loss": 2.0})
    outbox.finish(run, "FINISHED", tags={"outcome": "complete"}, folder=files(place))
    wait_until(lambda: any("runs/create" in path for path in server.asked))
    outbox.flush()
    outbox.close()
    assert "3 messages" in outbox.unsent
    assert "does not answer" in outbox.unsent
    assert not server.resumed.is_set()

    server.resumed.set()
    wait_until(lambda: not (unsent(place) / "00000001.json").exists())
    with Outbox(Tracker("tiny", ""), unsent(place)) as after:
        after.flush()
        assert after.unsent == ""
    [record] = place.records()
    assert (record.info.status, record.data.metrics) == ("FINISHED", {"train/loss": 2.0})


def test_what_an_ended_launch_left_is_sent_by_the_next_one(
    outbox: Outbox, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the files of its runs, and the times of then; wherever the folder lies by now."""
    run = begin(outbox)
    outbox.flush()
    monkeypatch.setattr(outbox.tracker, "_client", MlflowClient("http://127.0.0.1:1"))
    outbox.log(run, 1, {"train/loss": 2.0})
    outbox.finish(run, "FINISHED", tags={"outcome": "complete"}, folder=files(place))
    outbox.flush()
    outbox.close()
    assert "127.0.0.1" in outbox.unsent
    assert not (place.folder / "files").exists()
    ended = time.time() * 1000

    unsent(place).rename(place.folder / "mlruns" / "moved")
    with Outbox(Tracker("tiny", ""), place.folder / "mlruns" / "moved") as after:
        after.flush()

    assert after.unsent == ""
    [record] = place.records()
    assert record.data.metrics == {"train/loss": 2.0}
    assert record.info.end_time <= ended
    assert sample(place) == "la la"
    assert not (place.folder / "mlruns" / "moved").exists()


def test_all_is_on_disk_before_a_run_counts_as_ended(
    outbox: Outbox, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a kill at any moment loses nothing."""
    gate = threading.Event()
    monkeypatch.setattr(
        outbox.tracker, "_client", SimpleNamespace(create_run=lambda *_: gate.wait())
    )
    run = begin(outbox)
    outbox.finish(run, "FINISHED", tags={}, folder=files(place))

    kept = sorted(path.name for path in unsent(place).rglob("*"))
    assert kept == ["00000001.json", "00000002.json", "00000003", "00000003.json", "sample.txt"]
    gate.set()


def test_what_the_store_refuses_is_set_aside_and_the_rest_is_sent(
    outbox: Outbox, place: Workplace
) -> None:
    run = begin(outbox)
    outbox.put(Tracker.set_tags, run, {"a\nb" * 200: "no name of a tag"})
    outbox.put(Tracker.set_tags, "0" * 32, {"no": "run"})
    outbox.finish(run, "FINISHED", tags={"outcome": "complete"}, folder=files(place))
    outbox.flush()

    assert outbox.unsent == ""
    assert [record.info.status for record in place.records()] == ["FINISHED"]
    assert sample(place) == "la la"
    assert outbox.refused.startswith("2 messages can't be sent and lie in ")
    [folder] = place.folder.glob("mlruns/refused/*")
    assert str(folder) in outbox.refused
    reasons = (folder / "why.txt").read_text("utf-8").splitlines()
    assert [reason.split(": ")[:2] for reason in reasons] == [
        ["00000003.json", "set_tags"],
        ["00000004.json", "set_tags"],
    ]
    assert "no name of a tag" in (folder / "00000003.json").read_text("utf-8")
    with Outbox(outbox.tracker, unsent(place)) as after:
        assert (after.unsent, after.refused) == ("", "")


def test_a_refusal_while_the_experiment_is_gone_is_an_outage(
    outbox: Outbox, place: Workplace
) -> None:
    """A deleted one is restored by the next launch, which then sends what waits."""
    place.client.delete_experiment(outbox.tracker.experiment_id)
    begin(outbox)
    outbox.flush()
    outbox.close()
    assert outbox.refused == ""
    assert outbox.unsent

    with Outbox(Tracker("tiny", ""), unsent(place)) as after:
        after.flush()
    assert after.unsent == ""
    assert len(place.records()) == 1


def http_error(status: int) -> HTTPError:
    response = Response()
    response.status_code = status
    return HTTPError(response=response)


@pytest.mark.parametrize(
    ("error", "waited_for"),
    [
        *(
            (MlflowException("", ErrorCode.Value(code)), waited_for)
            for code, waited_for in {
                "INTERNAL_ERROR": True,
                "TEMPORARILY_UNAVAILABLE": True,
                "REQUEST_LIMIT_EXCEEDED": True,
                "UNAUTHENTICATED": True,
                "PERMISSION_DENIED": True,
                "INVALID_PARAMETER_VALUE": False,
                "BAD_REQUEST": False,
                "RESOURCE_DOES_NOT_EXIST": False,
            }.items()
        ),
        (RequestException(), True),
        (FULL, True),
        *((http_error(status), status not in (400, 404)) for status in (400, 401, 404, 429, 503)),
        (TypeError(), False),
    ],
    ids=lambda value: getattr(value, "error_code", type(value).__name__),
)
def test_an_outage_is_told_from_a_refusal(error: Exception, waited_for: bool) -> None:
    assert is_outage(error) is waited_for


@pytest.mark.parametrize(
    "damage", ["", '{"method": "fin', "[]", '{"method": "nonsense", "arguments": {}}', "\x00\xff"]
)
def test_a_damaged_message_is_set_aside_with_a_word(
    outbox: Outbox, place: Workplace, damage: str
) -> None:
    outbox.close()
    folder = unsent(place)
    folder.mkdir(parents=True)
    begin(outbox)
    (folder / "00000001.json").write_text(damage, "utf-8")

    with Outbox(outbox.tracker, folder) as after:
        after.flush()
        run = begin(after)
        after.finish(run, "FINISHED", tags={})
        after.flush()

    assert after.unsent == ""
    assert "00000001.json" in after.refused
    assert "\n" not in after.refused
    [aside] = place.folder.glob("mlruns/refused/*")
    assert (aside / "00000001.json").read_text("utf-8") == damage
    assert "FINISHED" in {record.info.status for record in place.records()}


@pytest.mark.parametrize("where", ["message", "files"])
def test_a_full_disk_costs_no_run_its_record(
    outbox: Outbox, place: Workplace, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The store may lie elsewhere: what can't be kept is sent all the same."""

    def full(*_: object) -> None:
        raise FULL

    def half_copied(_: Path, target: Path) -> None:
        target.mkdir()
        raise FULL

    if where == "message":
        monkeypatch.setattr(bench.record.outbox_folder, "_write", full)
    else:
        monkeypatch.setattr(shutil, "move", half_copied)
    run = begin(outbox)
    outbox.finish(run, "FINISHED", tags={}, folder=files(place))
    outbox.flush()

    assert (outbox.unsent, outbox.refused) == ("", "")
    assert sample(place) == "la la"
    assert [record.info.status for record in place.records()] == ["FINISHED"]


def test_what_a_full_disk_left_in_memory_is_kept_as_soon_as_there_is_room(
    outbox: Outbox, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And said in one line, with the cause, as long as there is none."""

    def full(*_: object) -> None:
        raise FULL

    monkeypatch.setattr(outbox.tracker, "_client", MlflowClient("http://127.0.0.1:1"))
    with monkeypatch.context() as patch:
        patch.setattr(bench.record.outbox_folder, "_write", full)
        run = begin(outbox)
        outbox.finish(run, "FINISHED", tags={}, folder=files(place))
        outbox.flush()
        assert "3 that could not be kept: [Errno 28] No space left on device" in outbox.unsent
    outbox.flush()
    outbox.close()
    assert "could not be kept" not in outbox.unsent

    with Outbox(Tracker("tiny", ""), unsent(place)) as after:
        after.flush()
    assert [record.info.status for record in place.records()] == ["FINISHED"]
    assert sample(place) == "la la"
