"""Studies whose store goes away, hangs or refuses: training goes on, the record follows."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from servers import Server
from workplace import Workplace, meanwhile, wait_until

import bench.record.outbox


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was away is tried again at once."""
    monkeypatch.setattr(bench.record.outbox, "RETRY_SECONDS", 0.1)


def assert_each_run_recorded_once(place: Workplace) -> None:
    runs = place.records()
    assert sorted(run.info.run_name for run in runs) == sorted(
        f"n_head {n} · {s}" for n in "12" for s in "01"
    )
    assert [(run.info.status, run.data.tags["outcome"]) for run in runs] == [
        ("FINISHED", "complete")
    ] * 4
    for run in runs:
        history = place.client.get_metric_history(run.info.run_id, "val_part/loss")
        assert [metric.step for metric in history] == [3, 6, 9, 12]
        assert run.data.tags["verdict"] == "undetermined"
        assert run.data.params["n_layer"] == "1"
    assert not list(place.folder.glob("mlruns/unsent/*"))
    assert not list(place.folder.glob("mlruns/refused/*"))


@pytest.mark.slow
def test_fault_19_a_study_outlives_its_server_and_sends_the_rest_later(
    server: Server, place: Workplace
) -> None:
    """It goes away as the first run's metrics come."""
    study = place.write()
    server.away_from = "runs/log-batch"
    result = place.run(study, "--workers", 1)

    assert result.exit_code == 5, result.output
    assert "Not all is recorded" in result.stdout
    assert [entry.outcome for entry in place.entries()] == ["complete"] * 4

    server.away_from, server.away = None, False
    again = place.run(study, "--workers", 1)

    assert again.exit_code == 0, again.output
    assert_each_run_recorded_once(place)


@pytest.mark.slow
def test_two_signals_end_a_study_whose_server_hangs(server: Server, place: Workplace) -> None:
    """The server never goes on meanwhile: who waits for it waits for ever."""
    study = place.write(steps=10_000_000, options="seeds=1")

    def interrupt_twice() -> None:
        wait_until(lambda: any("runs/create" in path for path in server.asked))
        server.hanging = True
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    with meanwhile(interrupt_twice):
        result = place.run(study, "--workers", 1)

    assert result.exit_code == 130, result.output
    assert list(place.folder.glob("mlruns/unsent/tiny/*.json"))


def test_a_label_with_an_apostrophe_is_a_label(place: Workplace) -> None:
    """No filter of MLflow's can hold it."""
    cell = """
mood = choose(trial, "mood", ["don't", "do"])
return replace(BASE, model=replace(BASE.model, n_head=1 + (mood == "do")))
"""
    result = place.run(place.write(cell=cell, options="seeds=1"), "--workers", 1)

    assert result.exit_code == 0, result.output
    verdicts = {run.data.tags["cell"]: run.data.tags["verdict"] for run in place.records()}
    assert verdicts == {"don't": "undetermined", "do": "undetermined"}


def test_a_record_that_was_removed_is_made_anew_from_the_ledger(
    place: Workplace, empty_store: Path
) -> None:
    """All but curves and files; a run that a person deleted stays deleted."""
    study = place.write(options="seeds=1")
    assert place.run(study, "--workers", 1).exit_code == 0
    before = {run.info.run_name: run for run in place.records()}
    uri = f"sqlite:///{place.folder / 'mlflow.db'}"
    SqlAlchemyStore._engine_map.pop(uri).dispose()
    shutil.copy(empty_store, place.folder / "mlflow.db")

    again = place.run(study, "--workers", 1)

    assert again.exit_code == 0, again.output
    assert "2 runs of the ledger were not in MLflow's record" in again.stderr
    after = {run.info.run_name: run for run in place.records()}
    assert after.keys() == before.keys()
    for name, run in after.items():
        final = {k: v for k, v in before[name].data.metrics.items() if k.startswith("final/")}
        assert run.data.metrics == pytest.approx(final)
        assert run.info.status == "FINISHED"
        for tag in ("outcome", "verdict", "cell", "gpt_bench.cell", "corpus_digest"):
            assert run.data.tags[tag] == before[name].data.tags[tag]

    for run in [*after.values(), *place.records("launch")]:
        place.client.delete_run(run.info.run_id)
    assert "recorded again" not in place.run(study, "--workers", 1).stderr
    assert place.records() == []


@pytest.mark.slow
def test_what_the_store_will_not_take_is_said_once(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later commands go on without it; nothing is retried for ever."""
    create_run = MlflowClient.create_run

    def picky(
        client: MlflowClient, experiment: str, at: int, tags: dict[str, str], name: str
    ) -> Run:
        if name == "n_head 2 · 0":
            raise MlflowException("no such name", ErrorCode.Value("INVALID_PARAMETER_VALUE"))
        return create_run(client, experiment, at, tags, name)

    monkeypatch.setattr(MlflowClient, "create_run", picky)
    study = place.write(options="seeds=1")
    result = place.run(study, "--workers", 1)

    assert result.exit_code == 5, result.output
    [said] = [line for line in result.stdout.splitlines() if "can't be sent" in line]
    assert "no such name" in said
    assert "mlruns/refused/tiny-" in said
    assert [run.info.run_name for run in place.records()] == ["n_head 1 · 0"]

    again = place.run(study, "--workers", 1, "--seeds", 2)
    assert again.exit_code == 0, again.output
    assert "recorded again" not in again.stderr
    assert len(place.records()) == 3
