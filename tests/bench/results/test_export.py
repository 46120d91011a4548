"""`bench.export`: what other programs read is what the table and the board say."""

import io
import os
import re
from pathlib import Path

import pandas as pd
import pytest
from boards import APART, ended, runs, standings
from click.testing import CliRunner, Result

from bench.conclude.latex import escape, latex
from bench.export import main
from bench.ledger.outcome import Outcome
from bench.results import load


def export(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@pytest.mark.usefixtures("here")
def test_csv_has_the_rows_of_the_table() -> None:
    result = export("sweep", "--csv")

    assert result.exit_code == 0
    assert result.stderr == ""
    read = pd.read_csv(io.StringIO(result.stdout), dtype={"attempt": str})
    table = load("sweep")
    assert [*read.columns] == [*table.columns]
    for name in ("run_id", "seed", "outcome", "vocab_size", "val_bits_per_byte", "n_params"):
        pd.testing.assert_series_equal(read[name], table[name], check_dtype=False)


@pytest.mark.usefixtures("here")
def test_curves_and_parquet_go_into_files(tmp_path: Path) -> None:
    for options, expected in (([], load("sweep")), (["--curves"], load("sweep").curves())):
        for form, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
            path = tmp_path / f"sweep.{form}"
            assert export("sweep", f"--{form}", "-o", path, *options).output == ""
            found = read(path)
            assert [*found.columns] == [*expected.columns]
            assert [*found.run_id] == [*expected.run_id]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    export("sweep", "--csv", "-o", os.devnull)
    assert not Path(os.devnull).is_file()


@pytest.mark.usefixtures("here")
def test_latex_is_the_board_of_the_study() -> None:
    result = export("sweep", "--latex")

    assert result.exit_code == 0
    assert "leads with" in result.stdout
    assert "Without a complete run: bpe (infeasible)." in result.stdout
    board = [line for line in result.stdout.splitlines() if line.endswith(r"\\")]
    assert len(board) == 4  # a heading and three cells
    best = load("sweep").groupby("cell").val_bits_per_byte.mean().idxmin()
    assert board[1].split("&")[0].strip() == best
    assert "undetermined" in board[1]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["sweep"], 2, "one of --csv, --parquet and --latex but got none"),
        (["sweep", "--csv", "--latex"], 2, "but got --csv and --latex"),
        (["--csv"], 2, "at least one study but got none"),
        (["swep", "--csv"], 2, "did you mean sweep?"),
        (["sweep", "--parquet"], 2, "needs a file but got none"),
        (["sweep", "--latex", "--curves"], 2, "--latex shows the leaderboard"),
        (["sweep", "--csv", "--metric", "val_loss"], 2, "--metric is for --latex"),
        (["sweep", "--latex", "--metric", "seconds_to_target"], 2, "lack seconds_to_target"),
        (["sweep", "--csv", "-o", "no/such/folder.csv"], 4, "must be writable"),
    ],
)
def test_what_can_not_be_exported_is_refused(arguments: list[str], code: int, said: str) -> None:
    result = export(*arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stderr.count("\n") <= 2
    assert result.stdout == ""


def test_a_latex_table_says_what_the_board_says() -> None:
    entries = ended(runs(APART | {"100% of_it": 2.5}), Outcome.DIVERGED, "worst", 1)

    table = latex("A & B", standings(entries), label="a_b")

    rows = {
        line.split(" & ")[0].strip(): line.split(" & ")
        for line in table.splitlines()
        if " & " in line
    }
    behind = r"behind the best (99\% interval)"
    assert rows["cell"][1:5] == ["bits/byte", behind, "verdict", "tokens/s"]
    assert rows["good"][3] == "best"
    assert rows["good"][2] == ""
    assert re.fullmatch(r"1\.\d{3} \$\\pm\$0\.00\d", rows["good"][1])
    assert re.fullmatch(r"\+0\.\d{4} to \+0\.\d{4}", rows["bad"][2])
    assert rows["worst"][3] == "diverged in 1 of 5 seeds"
    assert rows[r"100\% of\_it"][3] == "worse"
    assert r"\caption{A \& B. good is best: " in table
    assert "over 4 to 5 seeds" in table
    assert "hold with 99\\%, all together" in table
    assert r"\label{tab:a-b}" in table
    assert table.count("{") == table.count("}")


def test_what_latex_takes_for_something_else_is_escaped() -> None:
    assert escape(r"\a{b}_c^d~e#f%g&h$i") == (
        r"\textbackslash{}a\{b\}\_c\textasciicircum{}d\textasciitilde{}e\#f\%g\&h\$i"
    )
    assert escape("-0.01 to +0.02 for gpt-2") == "$-$0.01 to +0.02 for gpt-2"
    assert escape("two\nlines  <here> ± 2×") == (
        r"two lines \textless{}here\textgreater{} $\pm$ 2$\times$"
    )


def test_a_study_without_a_complete_run_has_no_table() -> None:
    entries = ended(runs({"only": 2.0}, 1), Outcome.FAILED, "only", 0)
    table = latex("study", standings(entries), label="study")
    assert all(line.startswith("%") for line in table.splitlines())
    assert "No run is complete" in table
