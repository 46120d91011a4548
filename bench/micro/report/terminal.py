"""The summary at the end of `pytest --benchmark-only`: tables, and last what was found."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.micro.report.results import Results, newest
from bench.micro.report.tables import tables
from bench.system.entry import write_in_any_locale

LEAST_WIDTH = 110


def write_summary(
    reporter: pytest.TerminalReporter, config: pytest.Config, saved: Mapping[str, Any]
) -> None:
    """Write it.

    Args:
        saved: the content of the session's JSON.
    """
    reporter.section("microbenchmarks")
    console = Console(width=max(LEAST_WIDTH, reporter._tw.fullwidth))
    with console.capture() as captured:
        console.print(*tables(Results.from_saved(saved)), sep="\n")
    write_in_any_locale(reporter._tw._file)  # pytest would escape the line ends too
    reporter.write(captured.get())
    reporter.write_line("")
    if (path := saved_to(config)) is not None:
        reporter.write_line(f"With pictures: python -m bench.micro report {shlex.quote(path)}")
    if config.option.benchmark_quiet:
        reporter.write_line("pytest-benchmark's own tables: add -v, or --benchmark-sort=median")


def saved_to(config: pytest.Config) -> str | None:
    """The JSON of this session; None where it went to a database."""
    if config.option.benchmark_json:
        return str(config.option.benchmark_json)
    kind, _, folder = config.option.benchmark_storage.rpartition("://")
    path = newest(Path(folder)) if kind in ("", "file") else None
    return None if path is None else os.path.relpath(path)
