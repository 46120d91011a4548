"""On a terminal a person sees where every run is; elsewhere, which ones have ended."""

import io
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from bench.conduct.progress import Progress, say_seconds
from bench.ledger.outcome import Outcome
from gpt.training.loop import Point

POINT = Point(
    step=120,
    progress=0.5,
    n_tokens=7680,
    n_bytes=9000.0,
    train_loss=2.71828,
    learning_rate=1e-3,
    grad_norm=1.0,
    step_milliseconds=2.0,
    tokens_per_second=54321.0,
    evaluation=None,
    estimate=None,
    seconds={},
    peak_memory_bytes=0,
)


def watch(console: Console, now: Callable[[], float] = time.monotonic) -> None:
    progress = Progress(console, now)
    with progress.preparing(2):
        progress.text_made()
        progress.text_made()
    with progress.running(3):
        progress.begin("0", "bpe 1024", 7)
        progress.update("0", POINT, 240)
        progress.begin("1", "char [old]", 8)  # a new row is drawn at once, with all others
        progress.update("1", replace(POINT, step=60, train_loss=1.5), None)
        progress.begin("2", "byte", 9)
        progress.end("1", Outcome.FAILED, reason="Traceback:\n  x\nout of luck\n")
        progress.extend(1)
        progress.begin("3", "char [old]", 8)
        progress.end("0", Outcome.COMPLETE, bits_per_byte=2.298)
    progress.begin("4", "after the end", 0)
    progress.end("4", Outcome.COMPLETE)


@pytest.fixture
def drawn() -> str:
    """All that was ever drawn on a terminal."""
    file = io.StringIO()
    watch(Console(file=file, force_terminal=True, width=200, color_system=None))
    return file.getvalue()


@pytest.mark.parametrize(
    "words",
    [
        "tokenizers and text",
        "3 runs",
        "bpe 1024 · seed 7",
        "step 120/240  loss 2.718  54,321 tokens/s",
        "char [old] · seed 8",
        "step 60  loss 1.500",
        "1 ended, 1 not complete",
        "2 ended, 1 not complete",
    ],
)
def test_a_terminal_shows_cell_step_loss_and_speed(drawn: str, words: str) -> None:
    assert words in drawn


def test_nothing_is_left_on_the_terminal(drawn: str) -> None:
    assert "\x1b[2K" in drawn.splitlines()[-1]  # the last thing is to erase a line


class Clock:
    """Seconds that go on by ten at each look."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 10
        return self.seconds


def test_off_a_terminal_each_end_is_a_line() -> None:
    """Of three runs one and a half took 50 s; two of four, then, 80."""
    file = io.StringIO()
    watch(Console(file=file, force_terminal=False, width=20), Clock())
    assert file.getvalue().splitlines() == [
        "2 texts ready  10 s",
        "[1/3] char [old] · seed 8  failed: out of luck  20 s  about 50 s left",
        "[2/4] bpe 1024 · seed 7  2.298 bits/byte  60 s  about 80 s left",
    ]


def test_who_reads_the_lines_may_go_away() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(text)

    watch(Console(file=Gone(), force_terminal=False))


def test_each_launch_counts_its_own_runs() -> None:
    file = io.StringIO()
    progress = Progress(Console(file=file, force_terminal=False, width=200), Clock())
    for name in ("0", "1"):
        with progress.running(1):
            progress.begin(name, name, 0)
            progress.end(name, Outcome.PRUNED, reason="pruned at step 5")
    assert file.getvalue().splitlines() == [
        f"[1/1] {name} · seed 0  pruned at step 5  10 s" for name in ("0", "1")
    ]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (51, "51 s"), (89, "89 s"), (90, "2 min"), (540, "9 min"), (9000, "2 h")],
)
def test_a_duration_has_a_unit_in_which_it_is_short(seconds: float, words: str) -> None:
    assert say_seconds(seconds) == words
