"""`bench.results`: what a table says of a study that was really run, from wherever it lies."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from boards import APART, runs
from ledgers import Open, claims
from workplace import Finished

from bench.record.reading import artifact, is_recorded
from bench.results import Runs, load
from gpt.config import RunConfig
from gpt.errors import ConfigError

if TYPE_CHECKING:
    from servers import Server


def test_a_row_is_a_run(swept: Finished, home: Path) -> None:
    """Its numbers are the ledger's, and its id is that of MLflow's run."""
    table = load("sweep", folder=home)

    entries = swept.place.entries("sweep")
    recorded = {run.info.run_id: run for run in swept.place.records(study="sweep")}
    assert len(table) == len(entries) == 8
    assert [*table.seed] == [entry.config.train.seed for entry in entries]
    assert [*table.outcome] == [entry.outcome.value for entry in entries]
    assert {*table.run_id} == {*recorded}
    for row, entry in zip(table.to_dict("records"), entries, strict=True):
        run = recorded[row["run_id"]]
        assert run.data.tags["gpt_bench.attempt"] == row["attempt"] == entry.attempt
        assert run.data.tags["cell"] == row["cell"]
        for name, value in entry.summary.items():
            assert row[{"context_bytes": "context_bytes_measured"}.get(name, name)] == value


def test_the_columns_come_in_their_order_and_no_name_twice(home: Path) -> None:
    columns = [*load("sweep", folder=home).columns]

    first = ["study", "part", "cell", "cell_key", "seed", "outcome", "reason", "attempt", "run_id"]
    settings = [name for name in RunConfig().flat() if name != "seed"]
    assert columns[: len(first)] == first
    assert columns[len(first) :][: len(settings)] == settings
    assert columns[len(first) + len(settings)] == "val_bits_per_byte"
    assert columns.index("peak_memory_bytes") < columns.index("corpus_digest")
    assert len(columns) == len({*columns})


def test_settings_are_those_that_the_runs_had(swept: Finished, home: Path) -> None:
    """What a config leaves to the text, such as the number of tokens, and no default in place."""
    table = load("sweep", folder=home).set_index("run_id")

    for run in swept.place.records(study="sweep"):
        row = table.loc[run.info.run_id]
        if row.outcome == "complete":
            for name in ("vocab_size", "block_size", "kernel", "dtype", "device", "n_embd"):
                assert str(row[name]).removesuffix(".0") == run.data.params[name]
        else:
            assert np.isnan(row.block_size)
            assert np.isnan(row.val_bits_per_byte)
            assert "must be at most" in row.reason
    assert {*table.context_bytes} == {20}  # as it was asked for, so that it groups
    assert table.context_bytes_measured.nunique() == 3


def test_curves_have_a_row_a_point(home: Path) -> None:
    table = load("sweep", folder=home)

    curves = table.curves()

    assert [*curves.columns[:7]] == [
        "study", "part", "cell", "cell_key", "seed", "run_id", "step"
    ]  # fmt: skip
    assert "val_part/bpb" in curves
    assert curves.columns.is_unique
    last = curves.groupby(["cell", "seed"]).last()["val/bpb"]
    complete = table[table.outcome == "complete"].set_index(["cell", "seed"]).val_bits_per_byte
    assert len(last) == len(complete) == 6
    pd.testing.assert_series_equal(last, complete.sort_index(), check_names=False)


def test_a_part_of_a_table_knows_its_curves(home: Path) -> None:
    """However pandas made it."""
    table = load("sweep", folder=home)

    one = table[table.tokenizer == "byte"]
    parts = [
        one,
        table.query("tokenizer == 'byte'").sort_values("seed", ascending=False),
        pd.concat([one.head(1), one.tail(1)]),
        one.merge(pd.DataFrame({"seed": [0, 1], "why": ["a", "b"]})),
        table.groupby("tokenizer").get_group("byte"),
        pd.concat([one, one]),
    ]
    for part in parts:
        assert isinstance(part, Runs)
        curves = part.curves()
        assert len(curves) == 12
        assert {*curves.cell} == {"byte"}
    with pytest.raises(ConfigError, match="run_id is gone"):
        table[["cell", "seed"]].curves()


def test_a_moved_folder_is_read_where_it_is(moved: Path) -> None:
    """And left as it is: MLflow's database too."""
    before = (moved / "mlflow.db").read_bytes()

    table = load(moved / "mlruns" / "ledger" / "sweep.journal")

    assert len(table.curves()) == 36
    path = artifact(table.run_id[0], "tokenizer/tokenizer.json", moved)
    assert path is not None
    assert moved in path.parents
    assert (moved / "mlflow.db").read_bytes() == before


def test_without_its_file_a_curve_is_that_of_mlflow(moved: Path) -> None:
    before = load("sweep", folder=moved).curves()
    one, two, three, *rest = moved.glob("mlruns/sweep/*/artifacts/curve.csv")
    for path in rest:
        path.unlink()
    one.write_bytes(b"")
    two.write_bytes(b"\xff\n1")
    three.write_bytes(b"no,table\n1,2\n")

    curves = load("sweep", folder=moved).curves()

    drawn = [name for name in before if not before[name].isna().all()]
    assert {*drawn} == {*curves}
    pd.testing.assert_frame_equal(curves[drawn], before[drawn], check_dtype=False)


def test_without_the_record_the_ledger_is_enough(moved: Path) -> None:
    known = load("sweep", folder=moved)
    (moved / "mlflow.db").unlink()

    table = load("sweep", folder=moved)

    assert table.run_id.isna().all()
    same = [name for name in known if name not in ("run_id", "dtype", "device")]
    pd.testing.assert_frame_equal(table[same], known[same])
    with pytest.warns(UserWarning, match="6 complete runs have no recorded curve"):
        assert table.curves().empty
    assert not (moved / "mlflow.db").exists()


def test_a_damaged_record_is_said(moved: Path) -> None:
    (moved / "mlflow.db").write_bytes(b"no database")
    with pytest.warns(UserWarning, match=r"without id, .*mlflow\.db is not"):
        assert load("sweep", folder=moved).run_id.isna().all()


def test_a_server_that_is_away_is_not_needed_where_the_folder_has_it_all(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    table = load("sweep", folder=home)
    assert is_recorded(table.run_id[0], home)
    assert len(table.curves()) == 36


@pytest.mark.slow
def test_a_server_is_asked(
    server: "Server", moved: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a copy of the database; the folder itself has none, and no files."""
    shutil.copy(home / "mlflow.db", Path.cwd())
    (moved / "mlflow.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)

    table = load("sweep", folder=moved)

    assert is_recorded(table.run_id[0], moved)
    assert not is_recorded("0" * 32, moved)
    assert len(table[table.cell == "byte"].curves()) == 12
    assert artifact(table.run_id[0], "no/such", moved) is None
    lying = artifact(table.run_id[0], "tokenizer/tokenizer.json", moved)
    monkeypatch.setattr("bench.record.database.local_file", lambda *_: None)  # as elsewhere
    fetched = artifact(table.run_id[0], "tokenizer/tokenizer.json", moved)
    assert lying is not None
    assert fetched is not None
    assert fetched != lying
    assert fetched.read_bytes() == lying.read_bytes()
    assert artifact(table.run_id[0], "no/such", moved) is None
    server.away = True
    with pytest.warns(UserWarning, match="without id"):
        assert load("sweep", folder=moved).run_id.isna().all()


def test_parts_come_with_their_study_and_several_studies_in_one_table(
    open_ledger: Open, ledger_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ledger_path.parent / "mlruns" / "ledger"
    folder.mkdir(parents=True)
    monkeypatch.chdir(ledger_path.parent)
    names = ("hunt", "hunt.finals", "hunt.test-0123456789ab", "hunt.20260101-000000", "other")
    for name in names:
        with open_ledger(seeds=1) as ledger:
            for claim, entry in zip(claims(ledger), runs(APART, 1), strict=True):
                ledger.settle(claim, entry.outcome, facts=entry.facts, summary=entry.summary)
        ledger_path.rename(folder / f"{name}.journal")

    assert [*load("hunt").part.unique()] == ["study", "finals", "confirmation"]
    assert {*load("hunt").study} == {"hunt"}
    assert {*load("hunt.finals").part} == {"finals"}
    assert {*load("hunt.20260101-000000").part} == {"study"}
    both = load("hunt", "other.py", "hunt")
    assert both.groupby(["study", "part"]).size().sum() == len(both) == 12
    (folder / "apart.journal").write_bytes((folder / "other.journal").read_bytes())
    twice = load("other", folder / "other.journal")
    assert len(twice) == 3


def test_a_study_that_has_only_begun_is_said(open_ledger: Open, ledger_path: Path) -> None:
    with open_ledger() as ledger:
        claims(ledger)
    with pytest.warns(UserWarning, match="no run of study has ended yet"):
        table = load(ledger_path)
    assert table.empty
    assert table.curves().empty


def test_two_studies_of_one_name_are_told_apart(home: Path, moved: Path) -> None:
    """The same study of two folders, such as before and after a change of the code."""
    ledger = Path("mlruns") / "ledger" / "sweep.journal"
    both = load(home / ledger, moved / ledger)
    assert [*both.study.unique()] == [str(home / "sweep"), str(moved / "sweep")]


def test_an_unknown_study_is_refused_with_those_that_are_there(home: Path, tmp_path: Path) -> None:
    for wrong in ("swep", "sweeep.py"):
        with pytest.raises(ConfigError, match="did you mean sweep\\? there are: sweep"):
            load(wrong, folder=home)
    with pytest.raises(ConfigError, match="none was run in this folder"):
        load("sweep", folder=tmp_path)
    with pytest.raises(ConfigError, match="at least one study but got none; there are: sweep"):
        load(folder=home)
    for nowhere in (None, ""):
        with pytest.raises(ConfigError, match="folder must be that of a study but got"):
            load("sweep", folder=nowhere)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"no\.journal is not there"):
        load(home / "no.journal")


def test_curves_of_earlier_versions_have_today_s_names(moved: Path) -> None:
    """So that those of several studies lie in the same columns."""
    table = load("sweep", folder=moved)
    path = artifact(table.run_id[0], "curve.csv", moved)
    assert path is not None
    path.write_text("step,val/bits_per_byte,speed/tokens_per_second\n1,2.5,100\n", "utf-8")

    curves = table.curves()

    assert {"val/bpb", "val_part/bpb", "speed/tokens_s", "speed/step_ms"} <= {*curves}
    assert curves["val/bpb"][0] == 2.5
    assert not [name for name in curves if "per_byte" in name]
