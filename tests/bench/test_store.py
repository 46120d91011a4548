"""The tracker against a real store: metrics, stale runs, and a store that is not there."""

from collections.abc import Mapping

import pytest
from workplace import Workplace

from bench.tracking import Tracker, load_config, measured
from gpt.errors import ConfigError, MachineError


@pytest.fixture
def tracker(place: Workplace) -> Tracker:  # noqa: ARG001
    return Tracker("tiny", "What is it?")


def one_run(tracker: Tracker, **tags: str) -> str:
    launch = tracker.start_launch("tiny", ledger="aaa", tags={})
    return tracker.start_run("a · 0", launch=launch, ledger="aaa", params={}, tags=tags)


def test_what_is_not_finite_is_not_logged(tracker: Tracker, place: Workplace) -> None:
    run = one_run(tracker)
    values: Mapping[str, float | None] = {
        "a": float("nan"), "b": float("inf"), "c": -float("inf"), "d": None, "e": 1.5
    }  # fmt: skip
    tracker.log(run, measured(3, values))

    assert place.client.get_run(run).data.metrics == {"e": 1.5}


def test_what_killed_launches_left_is_closed_and_nothing_else(
    tracker: Tracker, place: Workplace
) -> None:
    still_open, closed_too_soon, done = (one_run(tracker) for _ in range(3))
    tracker.set_tags(closed_too_soon, {"gpt_bench.attempt": "7"})
    for run in (closed_too_soon, done):
        tracker.finish(run, "FINISHED", tags={"outcome": "complete"})
    launch = tracker.start_launch("another", ledger="bbb", tags={})

    tracker.close_stale("aaa", interrupted={"7"})

    def status(run: str) -> tuple[str, str | None]:
        found = place.client.get_run(run)
        return found.info.status, found.data.tags.get("outcome")

    assert status(still_open) == ("KILLED", "interrupted")
    assert status(closed_too_soon) == ("KILLED", "interrupted")
    assert status(done) == ("FINISHED", "complete")
    assert status(launch) == ("RUNNING", None)


def test_a_deleted_experiment_is_restored(tracker: Tracker, place: Workplace) -> None:
    place.client.delete_experiment(tracker.experiment_id)
    assert Tracker("tiny", "Again").experiment_id == tracker.experiment_id


@pytest.mark.parametrize(
    "uri", ["sqlite:///{0}/song.txt/x.db", "sqlite:///{0}/song.txt", "http://127.0.0.1:1"]
)
def test_a_store_that_is_not_there_is_named_at_once(
    bare: Workplace, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    """No folder; a file that is no database; no server."""
    uri = uri.format(bare.folder)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(MachineError) as refusal:
        Tracker("tiny", "")
    assert uri in str(refusal.value)
    assert "MLFLOW_TRACKING_URI" in str(refusal.value)
    assert str(refusal.value).count("\n") == 1


def test_a_password_in_the_store_s_address_is_not_repeated(
    bare: Workplace,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    secret: str,
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{secret}@127.0.0.1:1")
    with pytest.raises(MachineError) as refusal:
        Tracker("tiny", "")
    assert secret not in str(refusal.value)
    assert "http://127.0.0.1:1" in str(refusal.value)


def test_a_run_that_is_not_there_can_not_be_repeated(tracker: Tracker) -> None:  # noqa: ARG001
    with pytest.raises(ConfigError, match=r"--from-run .* but got 123abc"):
        load_config("123abc")
