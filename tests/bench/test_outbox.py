"""What is to be recorded arrives in batches, in order, and after an outage too."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient
from workplace import Workplace, wait_until

from bench.outbox import Outbox
from bench.tracking import Tracker
from gpt.errors import MachineError


@pytest.fixture
def outbox(place: Workplace) -> Outbox:
    return Outbox(Tracker("tiny", ""), place.folder / "unsent")


def begin(outbox: Outbox) -> str:
    """A run of a launch, by our name."""
    launch = outbox.begin(Tracker.start_launch, "tiny", ledger="aaa", tags={})
    return outbox.begin(
        Tracker.start_run, "a · 0", launch=launch, ledger="aaa", params={"seed": 0}, tags={}
    )


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

    assert sum(sizes) == 2500
    assert max(sizes) == 1000
    assert len([size for size in sizes if size]) < 10
    [record] = place.records()
    history = place.client.get_metric_history(record.info.run_id, "train/loss")
    assert sorted(metric.step for metric in history) == list(range(2500))
    assert not (place.folder / "unsent").exists()


class Server:
    """MLflow's own, over the database of a workplace, on the loopback interface alone."""

    def __init__(self, place: Workplace) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._place = place
        self.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        store = [f"--backend-store-uri=sqlite:///{self._place.folder / 'mlflow.db'}"]
        where = ["--host=127.0.0.1", f"--port={self.port}", "--workers=1"]
        artifacts = [f"--artifacts-destination={self._place.folder / 'artifacts'}"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *store, *where, *artifacts],
            cwd=self._place.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self.answers)

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.uri}/health", timeout=1).ok
        except requests.RequestException:
            return False

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def server(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server(place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    yield server
    if server.answers():
        server.kill()


@pytest.mark.slow
def test_fault_19_a_study_outlives_its_server_and_sends_the_rest_later(
    server: Server, place: Workplace
) -> None:
    study = place.write(steps=400)
    command = place.start(study, "--workers", 1)
    wait_until(place.at_work)
    server.kill()
    stdout, stderr = command.communicate(timeout=240)

    assert command.returncode == 5, stderr
    assert "Not all is recorded" in stdout
    assert [entry.outcome for entry in place.entries()] == ["complete"] * 4

    server.start()
    again = place.run(study)

    assert again.exit_code == 0, again.output
    runs = place.records()
    assert {run.info.run_name for run in runs} == {f"n_head {n} · {s}" for n in "12" for s in "01"}
    assert [(run.info.status, run.data.tags["outcome"]) for run in runs] == [
        ("FINISHED", "complete")
    ] * 4
    for run in runs:
        history = place.client.get_metric_history(run.info.run_id, "val/loss")
        assert [metric.step for metric in history] == [100, 200, 300, 400]
        assert run.data.tags["verdict"] == "undetermined"
    assert not list(place.folder.glob("mlruns/unsent/*"))


def test_what_an_ended_launch_left_is_sent_by_the_next_one(
    outbox: Outbox, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the files of its runs, and the times of then."""
    files = place.folder / "files"
    files.mkdir()
    (files / "sample.txt").write_text("la la", "utf-8")
    run = begin(outbox)
    with monkeypatch.context() as away:
        away.setattr(outbox.tracker, "_client", MlflowClient("http://127.0.0.1:1"))
        away.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        outbox.log(run, 1, {"train/loss": 2.0})
        outbox.finish(run, "FINISHED", tags={"outcome": "complete"}, folder=files)
        assert "127.0.0.1" in outbox.unsent
        with pytest.raises(MachineError, match="what an earlier launch left must be sent first"):
            Outbox(outbox.tracker, place.folder / "unsent")
    (files / "sample.txt").unlink()
    ended = time.time() * 1000

    after = Outbox(Tracker("tiny", ""), place.folder / "unsent")

    assert after.unsent == ""
    [record] = place.records()
    assert record.data.metrics == {"train/loss": 2.0}
    assert record.info.end_time <= ended
    sample = Path(record.info.artifact_uri.removeprefix("file://")) / "sample.txt"
    assert sample.read_text("utf-8") == "la la"
    assert not (place.folder / "unsent").exists()
