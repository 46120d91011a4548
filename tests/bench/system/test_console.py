"""What a user named is printed as it is named."""

import ast
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from workplace import Workplace

from bench.conduct.progress import Progress
from bench.system.console import open_console
from bench.system.controls import spell_controls

ROOT = Path(__file__).parents[3] / "bench"
NAMES = ["data[old].txt", "a[/b].txt", "[bold]x", ":smile:"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_text_in_lines_tables_and_titles(name: str) -> None:
    console = open_console(width=120)
    table = Table(name, title=name)
    table.add_row(name)
    with console.capture() as captured:
        console.print(name, table)
    assert captured.get().count(name) == 4


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_text_in_a_bar(name: str) -> None:
    console = Console(force_terminal=True, width=120)
    with console.capture() as captured:
        progress = Progress(console)
        with progress.running(1):
            progress.begin("1", name, 0)
    assert name in captured.get()


def test_control_characters_are_spelled_but_newlines_and_tabs() -> None:
    written = spell_controls("a\tb\r\n\x1b[2J\x00\x7f\x9bé🙂")

    assert written == "a\tb<U+000D>\n<U+001B>[2J<U+0000><U+007F><U+009B>é🙂"


def test_nothing_prints_but_by_it() -> None:
    """The report and the session's summary draw tables of our own words alone."""
    own = {
        ROOT / "system" / "console.py",
        ROOT / "micro" / "report" / "terminal.py",
        ROOT / "micro" / "conftest.py",
    }
    for path in set(ROOT.rglob("*.py")) - own:
        calls = [
            n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Call)
        ]
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        assert "Console" not in names, path


def test_a_plan_shows_labels_and_reasons_as_they_are(bare: Workplace) -> None:
    cell = """
kind = choose(trial, "kind", ["data[old]", "a[/b]", "[red]", "again[red]"])
n_embd = {"data[old]": 16, "a[/b]": 32, "[red]": 15, "again[red]": 16}[kind]
return replace(BASE, model=replace(BASE.model, n_embd=n_embd))
"""
    result = bare.run("--plan", bare.write("odd", cell=cell))

    assert result.exit_code == 0
    for words in ("\ndata[old] ", "\na[/b] ", "dropped: [red]: n_embd"):
        assert words in result.stdout
    assert "the same as data[old], so no further cell: again[red]" in result.stdout
