"""Results, verdicts and tables from a small session, and the command that shows them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.table import Table
from rich.text import Text
from saved_sessions import in_turns, session

from bench.micro.__main__ import main
from bench.micro.report.questions import questions
from bench.micro.report.results import Results, read_results
from bench.micro.report.tables import duration, memory, tables
from bench.micro.report.verdicts import NOT_IN_TURNS
from gpt.errors import DataError


@pytest.fixture
def saved() -> dict[str, Any]:
    return session()


@pytest.fixture
def path(saved: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "saved.json"
    path.write_text(json.dumps(saved))
    return path


def test_rows_are_read_and_strangers_passed_over(path: Path) -> None:
    results = read_results(path)

    assert results.series == ["causal mean, fp32", "optimizer step"]
    assert [row.T for row in results.of("causal mean, fp32")] == [8, 16, 32] * 2
    assert (results.commit, results.taken_at) == (
        "0123456, changed since",
        "2030-01-02 03:04 UTC",
    )


def test_the_floor_is_the_slower_of_arithmetic_and_bytes(saved: dict[str, Any]) -> None:
    """A million operations at 100 GFLOP/s take 10 µs; ten thousand bytes at 10 GB/s 1 µs."""
    assert Results.from_saved(saved).rows[0].floor_seconds == pytest.approx(1e-5)


def test_verdicts_of_lengths_in_a_row_are_said_together(saved: dict[str, Any]) -> None:
    """Also where the leader of an undetermined one differs; what is missing is said."""
    saved["in_turns"] = [
        in_turns(8, loop=1.0, cumsum=1.02),
        in_turns(16, loop=1.02, cumsum=1.0),
    ]
    [question, optimizer] = questions(Results.from_saved(saved))

    assert question.finding.startswith(
        "which is fastest at T = 8 to 16 is undetermined: at T = 16 cumsum leads, loop takes 1.0"
    )
    assert question.finding.endswith(f"; T = 32 {NOT_IN_TURNS}")
    assert optimizer.finding == ""


def test_devices_that_took_turns_are_questions_of_their_own(saved: dict[str, Any]) -> None:
    for i, row in enumerate(saved["benchmarks"][:-1]):
        row["extra_info"]["device"] = ("cpu", "cuda")[i % 2]
    found = questions(Results.from_saved(saved))

    assert [(q.series, q.rows[0].device, len(q.rows)) for q in found] == [
        ("causal mean, fp32", "cpu", 3),
        ("causal mean, fp32", "cuda", 3),
        ("optimizer step", "cpu", 1),
    ]


def test_a_commit_is_abbreviated_and_its_absence_is_not(saved: dict[str, Any]) -> None:
    saved["commit_info"] = {"id": "unversioned"}

    assert Results.from_saved(saved).commit == "unversioned"


def test_the_command_prints_a_table_and_where_it_drew(path: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "page.html")
    shown = CliRunner().invoke(main, ["report", str(path), "--output", output]).output

    assert "T = 8" in shown
    assert "32 ms" in shown
    assert "no time for magic (causal mean, fp32): wrong: it lies" in shown
    lines = shown.splitlines()
    assert lines.index("What was found") > max(
        i for i, line in enumerate(lines) if "T = 8" in line
    )
    assert lines[-1] == f"With pictures: {output}"
    assert Path(output).read_text("utf-8").startswith("<!doctype html>")


def test_the_fastest_in_turns_stands_out_whatever_the_medians_say(saved: dict[str, Any]) -> None:
    """By the medians the cumulative sum is a hundred times faster at each length."""
    saved["in_turns"] = [
        in_turns(8, loop=1.0, cumsum=1.5),
        in_turns(16, loop=1.0, cumsum=1.0),
        in_turns(32, loop=1.0, cumsum=1.02),
    ]
    _, table, *rest = [p for p in tables(Results.from_saved(saved)) if isinstance(p, Table | Text)]

    assert isinstance(table, Table)
    loop, cumsum = zip(*(column.cells for column in table.columns[1:4]), strict=True)
    assert [cell.style for cell in loop] == ["bold green", "bold green", ""]
    assert [cell.style for cell in cumsum] == ["", "bold green", ""]
    lines = [str(line) for line in rest[:3]]
    assert lines[0].startswith("in turns, T = 8: loop is fastest: cumsum, the next, takes 1.5")
    assert lines[1] == "in turns, T = 16: loop, cumsum tie for the fastest"
    assert lines[2].startswith(
        "in turns, T = 32: which is fastest is undetermined: loop leads, cumsum takes 1.0"
    )


def test_what_was_not_timed_in_turns_has_no_verdict(saved: dict[str, Any]) -> None:
    """A session of an earlier version; the optimizer has no rival."""
    parts = tables(Results.from_saved(saved))

    lines = [str(part) for part in parts if isinstance(part, Text)]
    refusals = [f"T = {T}: {NOT_IN_TURNS}" for T in (8, 16, 32)]
    refusals.append(f"causal mean, fp32: {NOT_IN_TURNS}")
    assert [line for line in lines if "no verdict" in line] == refusals
    cells = [c for p in parts if isinstance(p, Table) for col in p.columns for c in col.cells]
    assert {cell.style for cell in cells if isinstance(cell, Text)} == {""}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"benchmarks": [{}]}'])
def test_what_is_no_session_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)

    with pytest.raises(DataError, match="must be what `pytest --benchmark-only` saves"):
        read_results(path)


def test_nothing_saved_yet_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(DataError, match="run `pytest --benchmark-only` here"):
        read_results(None)


def test_the_suites_own_errors_are_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["report", str(tmp_path / "absent.json")])

    assert done.exit_code == DataError.exit_code
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_the_newest_session_is_the_default(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / ".benchmarks" / "machine"
    store.mkdir(parents=True)
    path.rename(store / "0001_x.json")
    monkeypatch.chdir(tmp_path)

    assert len(read_results(None).rows) == 7


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(2.0, "2 s"), (0.0123, "12.3 ms"), (1e-3, "1 ms"), (4.567e-5, "45.7 µs"), (1e-8, "0.01 µs")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_memory_has_a_unit() -> None:
    assert [memory(n) for n in (None, 1500, 2_500_000)] == ["–", "1.5 kB", "2.5 MB"]
