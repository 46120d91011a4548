"""The tracker against a real store: metrics, stale runs, and a store that is not there."""

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from servers import Server
from workplace import Workplace, wait_until

from bench.record.tracking import Tracker, load_config, metric_points, store
from gpt.config import RunConfig
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
    tracker.log(run, metric_points(3, values))

    assert place.client.get_run(run).data.metrics == {"e": 1.5}


def test_a_name_is_as_long_as_any_server_takes(tracker: Tracker, place: Workplace) -> None:
    run = tracker.start_launch("x" * 300, ledger="aaa", tags={"cell": "y" * 300})
    found = place.client.get_run(run)
    assert found.info.run_name == "x" * 250
    assert found.data.tags["cell"] == "y" * 300


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


def test_a_cell_s_runs_are_tagged_whichever_their_launch_but_no_other_ledger_s(
    tracker: Tracker, place: Workplace
) -> None:
    ours = [one_run(tracker, **{"gpt_bench.cell": "abc", "cell": label}) for label in "ab"]
    other_cell = one_run(tracker, **{"gpt_bench.cell": "def", "cell": "a"})
    other_ledger = tracker.start_run(
        "a · 0", launch="", ledger="bbb", params={}, tags={"gpt_bench.cell": "abc"}
    )
    tracker.tag_cell("aaa", "abc", {"verdict": "better"})

    tagged = {r.info.run_id for r in place.records() if r.data.tags.get("verdict") == "better"}
    assert tagged == set(ours)
    assert tagged.isdisjoint({other_cell, other_ledger})


def test_a_deleted_experiment_is_restored(tracker: Tracker, place: Workplace) -> None:
    place.client.delete_experiment(tracker.experiment_id)
    assert Tracker("tiny", "Again").experiment_id == tracker.experiment_id


def test_an_experiment_whose_making_was_not_heard_of_is_not_made_twice(
    server: Server, place: Workplace
) -> None:
    server.loses = "experiments/create"
    tracker = Tracker("tiny", "What is it?")
    experiment = place.client.get_experiment_by_name("tiny")
    assert experiment is not None
    assert tracker.experiment_id == experiment.experiment_id


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


def test_a_locked_database_is_left_where_it_is(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever set it aside would take it from the program that uses it."""
    connect = partial(sqlite3.connect, timeout=0.1)
    path = place.folder / "mlflow.db"
    with closing(connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite3, "connect", connect)
        with pytest.raises(MachineError, match=r"locked.*\nanother program holds it") as refusal:
            Tracker("tiny", "")
    assert "aside" not in str(refusal.value)


@pytest.mark.parametrize("options", ["", "?token={}", "?password={}"])
def test_a_password_in_the_store_s_address_is_not_repeated(
    bare: Workplace,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    secret: str,
    options: str,
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    address = f"http://me:a/{secret}@b@127.0.0.1:1{options.format(secret)}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(MachineError) as refusal:
        Tracker("tiny", "")
    assert secret not in str(refusal.value)
    assert "http://127.0.0.1:1" in str(refusal.value)


def test_neither_mlflow_nor_the_record_repeats_a_password(
    server: Server, place: Workplace, monkeypatch: pytest.MonkeyPatch, secret: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """MLflow itself prints the address of each run that ends."""
    address = server.uri.replace("//", f"//me:{secret}@")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    tracker = Tracker("tiny", f"described at {address}")
    run = one_run(tracker, reason=f"no {address}")
    tracker.log_text(run, "a.txt", f"password={secret}")
    tracker.finish(run, "FINISHED", tags={"token": f"?token={secret}"})

    assert secret not in "".join(capfd.readouterr())
    assert "View run" not in "".join(capfd.readouterr())
    assert secret not in str(tracker.addresses("aaa"))
    files = [path for path in place.folder.rglob("*") if path.is_file()]
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


def test_a_run_that_is_not_there_can_not_be_repeated(tracker: Tracker) -> None:
    with pytest.raises(ConfigError, match=r"--from-run .* but got 123abc"):
        load_config("123abc")
    without = one_run(tracker)
    with pytest.raises(ConfigError, match=rf"--from-run .* but got {without}"):
        load_config(without)


def test_to_look_for_a_run_makes_no_database(bare: Workplace) -> None:
    with pytest.raises(ConfigError, match=r"nothing is recorded here: .*mlflow\.db is not there"):
        load_config("123abc")
    assert {path.name for path in bare.folder.iterdir()} == {"song.txt", "tmp"}


def test_a_run_of_a_server_that_is_away_is_not_a_wrong_name(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="123abc"):
        load_config("123abc")
    server.away = True
    with pytest.raises(MachineError, match="must be there"):
        load_config("123abc")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(MachineError, match="must be there"):
        load_config("123abc")


def test_a_database_that_could_not_be_made_leaves_none(
    bare: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full half way; MLflow's own way leaves tables that it never finishes."""

    def half(uri: str, root: str) -> None:  # noqa: ARG001
        Path(uri.removeprefix("sqlite:///")).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, "SqlAlchemyStore", half)
        with pytest.raises(MachineError, match="No space left on device"):
            Tracker("tiny", "")
    assert not list(bare.folder.glob("mlflow.db*[!k]"))


def test_a_half_made_database_says_how_to_go_on(bare: Workplace) -> None:
    """As an earlier version, or `mlflow ui`, may have left it."""
    path = bare.folder / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE runs (run_uuid VARCHAR(32))")
        database.execute(
            "CREATE TABLE experiments (experiment_id INTEGER, artifact_location TEXT)"
        )
        database.commit()
    with pytest.raises(MachineError) as refusal:
        Tracker("tiny", "")
    assert (
        str(refusal.value).splitlines()[1] == f"it holds no run: remove {path}, which is made anew"
    )

    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(MachineError) as refusal:
        Tracker("tiny", "")
    assert str(refusal.value).splitlines()[1].startswith(f"set {path} aside under another name")


def test_of_several_that_want_a_database_one_makes_it(
    bare: Workplace, monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    made = []

    def slowly(uri: str, root: str) -> SimpleNamespace:  # noqa: ARG001
        made.append(uri)
        shutil.copy(empty_store, uri.removeprefix("sqlite:///"))
        wait_until(lambda: len(waiting) == 3)
        return SimpleNamespace(engine=SimpleNamespace(dispose=lambda: None))

    monkeypatch.setattr(store, "SqlAlchemyStore", slowly)
    waiting: list[int] = []

    def reach() -> None:
        waiting.append(1)
        store.reach(f"sqlite:///{bare.folder / 'mlflow.db'}")

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(reach) for _ in range(3)]:
            done.result()
    assert len(made) == 1
    assert {path.name for path in bare.folder.iterdir()} == {"song.txt", "tmp", "mlflow.db"}


@pytest.mark.parametrize("way", [shutil.move, shutil.copytree])
def test_files_are_found_where_the_folder_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path, way: Callable[..., object]
) -> None:
    """A name of the folder with all that an address spells otherwise."""
    old, new = tmp_path / "it's old %", tmp_path / "new é"
    old.mkdir()
    shutil.copy(empty_store, old / "mlflow.db")
    monkeypatch.chdir(old)
    run = one_run(Tracker("a study", ""))
    Tracker("a study", "").log_text(run, "config.json", RunConfig().to_json())

    monkeypatch.chdir(tmp_path)
    way(old, new)
    monkeypatch.chdir(new)

    assert load_config(run) == RunConfig()
    later = one_run(Tracker("a study", ""))
    Tracker("a study", "").log_text(later, "more.txt", "la la")
    assert (new / "mlruns" / "a study" / later / "artifacts" / "more.txt").read_text() == "la la"
    assert not list(old.rglob("more.txt"))
    assert {path.name for path in tmp_path.iterdir()} <= {old.name, new.name}


def test_files_that_are_kept_elsewhere_on_purpose_stay_there(
    bare: Workplace, monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    """The database's folder is not the current one, nor are its files."""
    shared = bare.folder / "shared"
    shared.mkdir()
    shutil.copy(empty_store, shared / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared / 'mlflow.db'}")
    run = one_run(Tracker("tiny", ""))
    Tracker("tiny", "").log_text(run, "a.txt", "la")
    monkeypatch.chdir(shared)
    Tracker("tiny", "").log_text(run, "b.txt", "la")

    assert {path.name for path in bare.folder.glob("mlruns/tiny/*/artifacts/*")} == {
        "a.txt",
        "b.txt",
    }
