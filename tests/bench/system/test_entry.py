"""The first moment of a command: signals are heeded, and every locale can be written."""

import ast
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from workplace import gone, wait_until

from bench.system.entry import begin, write_in_any_locale
from bench.system.interruption import leave

ROOT = Path(__file__).parents[3]


def is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


COMMANDS = [
    path.relative_to(ROOT)
    for path in sorted((ROOT / "bench").rglob("*.py"))
    if any(is_main_guard(node) for node in ast.parse(path.read_text("utf-8")).body)
]


def test_the_commands_are_found() -> None:
    names = {str(path) for path in COMMANDS}
    assert {"bench/study.py", "bench/compare.py", "bench/speed/__main__.py"} <= names


@pytest.mark.parametrize("path", COMMANDS, ids=str)
def test_a_command_begins_before_its_imports(path: Path) -> None:
    docstring, first, *_ = ast.parse((ROOT / path).read_text("utf-8")).body
    assert isinstance(docstring, ast.Expr)
    assert is_main_guard(first)
    assert "begin()" in ast.unparse(first)


@pytest.mark.parametrize(
    ("text", "encoding", "written"),
    [
        ("0.1 ± 0.2 · 3 × 4 — 1 − a", "ascii", b"0.1 +/- 0.2 - 3 x 4 - 1 - a"),
        ("⠋ ━━╸", "ascii", b"* ---"),
        ("naïve ±", "ascii", b"na\\xefve +/-"),
        ("naïve ±", "latin-1", "naïve ±".encode("latin-1")),
        ("naïve ±", "utf-8", "naïve ±".encode()),
        ("no text: \udcff.txt", "utf-8", rb"no text: \udcff.txt"),
    ],
)
def test_what_a_locale_can_not_write_has_a_stand_in(
    text: str, encoding: str, written: bytes
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    write_in_any_locale(stream)
    stream.write(text)
    stream.flush()
    assert stream.buffer.getvalue() == written  # type: ignore[attr-defined]


@pytest.fixture
def _signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals_as_before")
def test_begin_takes_both_signals_and_both_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    begin()
    assert {sys.stdout.errors, sys.stderr.errors} == {"stand-in"}
    assert {signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)} == {leave}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc says when a signal is heeded")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "command",
    ["bench.study smoke", "bench.compare smoke a b", "bench.micro explain", "bench.speed"],
)
def test_a_signal_ends_a_command_wherever_it_is(
    command: str, number: signal.Signals, tmp_path: Path
) -> None:
    """While it imports, and where it has begun it, beside its fork server: to the whole group."""
    arguments = [sys.executable, "-m", *command.split()]
    process = subprocess.Popen(
        arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    observed = psutil.Process(process.pid)
    if "study" in command:
        wait_until(lambda: len(observed.children()) == 2)  # with Python's own resource tracker
    else:
        wait_until(lambda: heeds(process.pid))
    children = observed.children()
    os.killpg(process.pid, number)
    stdout, stderr = process.communicate(timeout=300)

    assert (process.returncode, stdout, stderr) == (128 + number, "", "Stopped.\n")
    assert gone(children)
    assert list(tmp_path.iterdir()) == []


def heeds(pid: int) -> bool:
    """Whether a process has a handler for SIGTERM, which Python by itself has not."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    [caught] = [line.split()[1] for line in lines if line.startswith("SigCgt")]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.slow
def test_a_stream_that_the_caller_closed_is_written_to_no_one() -> None:
    command = f"{sys.executable} -m bench.study smoke --plan >&-"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
