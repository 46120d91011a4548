"""Pictures, page and table from a small session."""

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from rich.table import Table
from rich.text import Text

from bench.micro.__main__ import main
from bench.micro.alternating import QuestionTimes
from bench.micro.report import write_report
from bench.micro.results import Results, read_results
from bench.micro.tables import duration, memory, tables
from gpt.errors import DataError


def benchmark(name: str, T: int | None, seconds: float, **changes: Any) -> dict[str, Any]:
    series = "causal mean, fp32" if T else "optimizer step"
    info = {
        "series": series, "name": name, "T": T, "device": "cpu", "device_name": "a <CPU>",
        "dtype": "float32", "threads": 2, "flops": 10**6, "bytes": 10**4,
        "gflop_per_second": 1e-3 / seconds, "gigabytes_per_second": 1e-5 / seconds,
        "matmul_ceiling_gflop_per_second": 100.0, "copy_ceiling_gigabytes_per_second": 10.0,
        "share_of_matmul_ceiling": 1e-5 / seconds, "share_of_copy_ceiling": 1e-6 / seconds,
        "peak_memory_bytes": 1000 * (T or 1), **changes,
    }  # fmt: skip
    stats = {"median": seconds, "iqr": seconds / 100, "rounds": 9}
    return {"extra_info": info, "stats": stats}


@pytest.fixture
def saved() -> dict[str, Any]:
    return {
        "benchmarks": [
            *(benchmark("loop", T, 1e-3 * T) for T in (8, 16, 32)),
            *(benchmark("cumsum", T, 1e-5 * T) for T in (8, 16, 32)),
            benchmark("adamw", None, 2e-3),
            {"extra_info": {}, "stats": {}},  # somebody else's
        ],
        "left_out": [{"series": "causal mean, fp32", "name": "magic", "reason": "wrong: it lies"}],
        "commit_info": {"id": "0123456789", "dirty": True},
        "datetime": "2030-01-02T03:04:05.678+00:00",
    }


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


def test_a_picture_for_each_curve_and_a_page_that_loads_nothing(
    path: Path, tmp_path: Path
) -> None:
    page = write_report(read_results(path), tmp_path / "report")

    (png,) = page.parent.glob("*.png")
    header = png.read_bytes()[:24]
    assert png.name == "causal-mean-fp32.png"
    assert header.startswith(b"\x89PNG")
    assert min(struct.unpack(">II", header[16:])) > 500
    text = page.read_text("utf-8")
    assert text.count("<img") == text.count("src='data:image/png;base64,") == 1
    assert "http" not in text.replace("charset", "")
    assert "wrong: it lies" in text
    assert "a &lt;CPU&gt;" in text


def test_a_device_that_keeps_no_peak_is_drawn_too(saved: dict[str, Any], tmp_path: Path) -> None:
    for row in saved["benchmarks"][:-1]:
        row["extra_info"]["peak_memory_bytes"] = None

    assert write_report(Results.from_saved(saved), tmp_path).exists()


def test_the_command_prints_a_table_and_where_it_drew(path: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    shown = CliRunner().invoke(main, ["report", str(path), "--output", output]).output

    assert "T = 8" in shown
    assert "32 ms" in shown
    assert "no time for magic (causal mean, fp32): wrong: it lies" in shown
    assert "index.html" in shown


def test_an_unstable_time_is_marked(saved: dict[str, Any], tmp_path: Path) -> None:
    saved["benchmarks"][0]["stats"]["iqr"] = 1.0

    page = write_report(Results.from_saved(saved), tmp_path)
    text = page.read_text("utf-8")
    assert text.count("~8 ms") == 1
    assert "~ interquartile range over 20% of the median" in text


def in_turns(T: int | None, **seconds: float) -> dict[str, Any]:
    """As it is saved, with 1% of noise."""
    rng = np.random.default_rng(0)
    taken = {n: s * np.exp(rng.normal(0, 0.01, (10, 2))) for n, s in seconds.items()}
    question = QuestionTimes(series="causal mean, fp32", T=T, device="cpu", seconds=taken)
    saved: dict[str, Any] = json.loads(json.dumps(question.to_json()))
    return saved


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
        "in turns, T = 32: loop leads; whether it is fastest is undetermined: cumsum takes 1.0"
    )


def test_what_was_not_timed_in_turns_has_no_verdict(saved: dict[str, Any]) -> None:
    """A session of an earlier version; the optimizer has no rival."""
    parts = tables(Results.from_saved(saved))

    lines = [str(part) for part in parts if isinstance(part, Text)]
    refusals = [
        f"T = {T}: not timed in turns: no verdict on which is fastest" for T in (8, 16, 32)
    ]
    assert [line for line in lines if "no verdict" in line] == refusals
    cells = [c for p in parts if isinstance(p, Table) for col in p.columns for c in col.cells]
    assert {cell.style for cell in cells if isinstance(cell, Text)} == {""}


def test_a_stable_time_is_not(saved: dict[str, Any], tmp_path: Path) -> None:
    saved["benchmarks"][0]["stats"]["iqr"] = 0.2 * saved["benchmarks"][0]["stats"]["median"]

    assert "~" not in write_report(Results.from_saved(saved), tmp_path).read_text("utf-8")


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


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, bench.micro.__main__; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(2.0, "2 s"), (0.0123, "12.3 ms"), (1e-3, "1 ms"), (4.567e-5, "45.7 µs"), (1e-8, "0.01 µs")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_memory_has_a_unit() -> None:
    assert [memory(n) for n in (None, 1500, 2_500_000)] == ["–", "1.5 kB", "2.5 MB"]
