"""On a terminal a person sees where every run is; elsewhere nothing is written."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from bench.outcome import Outcome
from bench.progress import Progress
from gpt.train import Point

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


def watch(console: Console) -> None:
    progress = Progress(console)
    with progress.preparing(2) as advance:
        advance()
        advance()
    with progress.running(3):
        progress.begin("0", "bpe 1024", 7)
        progress.update("0", POINT, 240)
        progress.begin("1", "char", 8)  # a new row is drawn at once, with all others
        progress.update("1", replace(POINT, step=60, train_loss=1.5), None)
        progress.begin("2", "byte", 9)
        progress.end("1", Outcome.FAILED)
        progress.extend(1)
        progress.begin("3", "char", 8)
        progress.end("0", Outcome.COMPLETE)
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
        "char · seed 8",
        "step 60  loss 1.500",
        "1 ended, 1 not complete",
        "2 ended, 1 not complete",
    ],
)
def test_a_terminal_shows_cell_step_loss_and_speed(drawn: str, words: str) -> None:
    assert words in drawn


def test_nothing_is_left_on_the_terminal(drawn: str) -> None:
    assert "\x1b[2K" in drawn.splitlines()[-1]  # the last thing is to erase a line


def test_off_a_terminal_nothing_is_written() -> None:
    file = io.StringIO()
    watch(Console(file=file, force_terminal=False))
    assert file.getvalue() == ""
