"""The notebook and the document do what they show, on a study that was really run."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib import pyplot as plt

from bench import export, sample, tokens

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "results-in-python.md").read_text("utf-8")
COMMANDS = {"bench.export": export.main, "bench.sample": sample.main, "bench.tokens": tokens.main}


@pytest.fixture
def named(moved: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a study that is called like the one that the documents show."""
    ledgers = moved / "mlruns" / "ledger"
    shutil.move(ledgers / "sweep.journal", ledgers / "tokenizer_sweep.journal")
    monkeypatch.chdir(moved)
    return moved


def test_the_tour_runs_from_its_first_cell_to_its_last(
    named: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = json.loads((ROOT / "examples" / "tour.ipynb").read_text("utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    (named / "examples").mkdir()
    monkeypatch.chdir(named / "examples")  # where Jupyter starts
    backend = mpl.get_backend()
    mpl.use("Agg")
    names: dict[str, Any] = {}
    try:
        for number, cell in enumerate(code):
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
        [axes] = plt.gcf().axes
        assert len(axes.lines) == 3
        assert axes.get_xlabel()
    finally:
        plt.close("all")
        mpl.use(backend)

    said = capsys.readouterr().out
    assert "is ahead by" in said
    assert len(said.splitlines()) > 10
    assert [*names["board"].index] == ["char", "unigram", "byte"]
    assert len(pd.read_csv(named / "tokenizer_sweep.csv")) == 8


@pytest.mark.usefixtures("named")
def test_the_code_of_the_document_runs(capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"```python\n(.+?)```", DOCUMENT, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert len(names["curves"]) == 36
    assert "std" in capsys.readouterr().out
    rows = re.findall(r"^\| (`[^|]+) \|", DOCUMENT, flags=re.MULTILINE)
    columns = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(columns) > 15
    assert {*columns} <= {*names["runs"].columns}
    assert {"val_part/bpb", "train/bytes", "train/seconds"} <= {*names["curves"].columns}


def test_the_commands_of_the_document_do_what_it_says(named: Path) -> None:
    typed = re.findall(r"^python -m (bench\.\w+) (.+)$", DOCUMENT, flags=re.MULTILINE)
    assert {module for module, _ in typed} == {*COMMANDS}
    for module, arguments in typed:
        words = [word.replace("unigram 4096", "unigram") for word in shlex.split(arguments)]
        result = CliRunner().invoke(COMMANDS[module], words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        written = [word for word in words if word.endswith((".csv", ".parquet"))]
        assert bool(result.stdout) == (not written)
        assert all((named / name).is_file() for name in written)
    options = {
        option for command in COMMANDS.values() for p in command.params for option in p.opts
    }
    assert {name for name in options if name.startswith("--") and name not in DOCUMENT} == {
        "--output"  # -o
    }
