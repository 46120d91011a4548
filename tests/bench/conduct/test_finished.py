"""A study of which nothing is left is answered from its ledger; whatever is left, is found."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from workplace import CELL, Finished, Workplace

from bench.record.database import count_runs
from gpt.errors import MachineError

CONFIRMED = CELL.replace(
    "return replace(BASE, ",
    "return replace(BASE, corpus=replace(BASE.corpus, test_fraction=0.1), ",
)
"""The best of its cells is measured again, on the test part."""


@pytest.mark.slow
def test_what_is_finished_is_shown_from_the_ledger_and_what_is_not_goes_the_long_way(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = place.write(cell=CONFIRMED, options="seeds=1")
    first = place.run(study)
    assert first.exit_code == 0, first.output
    assert "on the test part" in " ".join(first.stdout.split()), first.stdout
    assert "Nothing was left to do" not in first.stdout

    began = []

    def long_way(*_: object) -> None:
        began.append("workers, for something is left")
        raise MachineError("not in this test")

    monkeypatch.setattr("bench.conduct.session.start_session", long_way)
    before = {path: path.read_bytes() for path in place.folder.rglob("*") if path.is_file()}
    again = place.run(study)
    assert again.exit_code == 0
    assert again.stdout == first.stdout + "Nothing was left to do.\n"
    assert {p: p.read_bytes() for p in place.folder.rglob("*") if p.is_file()} == before

    def goes_the_long_way(*arguments: object) -> None:
        began.clear()
        result = place.run(study, *arguments)
        assert began, result.output
        assert place.journal().read_bytes() == journal

    journal = place.journal().read_bytes()
    goes_the_long_way("--fresh")
    goes_the_long_way("--seeds", 2)
    place.write(cell=CONFIRMED.replace("[1, 2]", "[1, 2, 4]"), options="seeds=1")
    goes_the_long_way()
    place.write(cell=CONFIRMED, options='"val_loss", seeds=1')  # verdicts of another metric
    goes_the_long_way()
    place.write(cell=CONFIRMED, options="seeds=1")

    [confirmed] = place.journal().parent.glob("tiny.test-*.journal")
    away = confirmed.rename(confirmed.with_suffix(".away"))
    goes_the_long_way()
    away.rename(confirmed)

    unsent = place.folder / "mlruns" / "unsent" / "tiny"
    unsent.mkdir(parents=True)
    goes_the_long_way()
    unsent.rmdir()

    database = place.folder / "mlflow.db"
    kept = shutil.copy(database, place.folder / "kept.db")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM tags WHERE key = 'gpt_bench.role'")
    goes_the_long_way()
    database.unlink()
    goes_the_long_way()
    Path(kept).rename(database)
    assert place.run(study).stdout == again.stdout

    song = place.folder / "song.txt"
    text = song.read_bytes()
    song.write_bytes(text + b"And that is all.\n")
    refused = place.run(study)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"the text {song} changed" in refused.stderr
    song.write_bytes(text)

    program = (
        "import sys; from click.testing import CliRunner; from bench.study import main\n"
        f"print(CliRunner().invoke(main, [{study!r}]).output)\n"
        "print(*{'torch', 'mlflow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.endswith("Nothing was left to do.\n\n\n")


def test_only_a_database_of_mlflow_s_is_asked_without_it(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    assert count_runs(f"sqlite:///{database}", "aaa") is None
    assert not database.exists()
    database.write_bytes(b"no database" * 1000)
    assert count_runs(f"sqlite:///{database}", "aaa") is None
    assert count_runs("http://127.0.0.1:1", "aaa") is None


@pytest.fixture
def done(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    """The folder of the finished study, as it was again afterwards."""
    place = finished.place
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("GPT_BENCH_CACHE", str(place.folder / "cache"))
    journal = place.journal().read_bytes()
    with closing(sqlite3.connect(":memory:")) as kept:
        with closing(sqlite3.connect(place.folder / "mlflow.db")) as database:
            database.backup(kept)
        yield place
        place.journal().write_bytes(journal)
        with closing(sqlite3.connect(place.folder / "mlflow.db")) as database:
            kept.backup(database)  # by SQLite: MLflow's open connections must see the change


def test_a_ledger_without_its_last_lines_is_told_by_what_mlflow_holds(done: Workplace) -> None:
    lines = done.journal().read_bytes().splitlines(keepends=True)
    begun = [i for i, line in enumerate(lines) if b'"user_attr":{"config":' in line]
    content = b"".join(lines[: begun[-2]])
    done.journal().write_bytes(content)

    result = done.run("tiny.py", "--workers", 1)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "tiny.journal lacks 2 (n_head " in result.stderr
    assert "--fresh" in result.stderr
    assert len(result.stderr.splitlines()) == 2


def test_a_run_that_mlflow_no_longer_holds_is_recorded_again(done: Workplace) -> None:
    ours = "key = 'gpt_bench.role' AND value = 'run'"
    one = f"SELECT run_uuid FROM tags WHERE {ours} LIMIT 1"
    with closing(sqlite3.connect(done.folder / "mlflow.db")) as connection, connection:
        connection.execute(f"DELETE FROM tags WHERE run_uuid = ({one})")
    assert len(done.records()) == 3
    result = done.run("tiny.py", "--workers", 1)
    assert result.exit_code == 0
    assert "1 runs of the ledger were not in MLflow's record" in result.stderr
    assert sorted(run.info.run_name for run in done.records()) == [
        f"n_head {n_head} · {seed}" for n_head in (1, 2) for seed in (0, 1)
    ]
