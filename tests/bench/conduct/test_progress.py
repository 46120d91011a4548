"""On a terminal a person sees where every run is; elsewhere, which ones have ended."""

import io
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from bench.conduct.progress import Progress
from bench.ledger.outcome import Outcome
from bench.system.console import say_seconds
from gpt.config import ModelConfig, RunConfig
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


def test_the_runs_of_a_command_are_counted_on_from_look_to_look() -> None:
    """Those of a race, of which nobody knows how many there will be."""
    file = io.StringIO()
    progress = Progress(Console(file=file, force_terminal=False, width=200), Clock())
    for n, n_later in ((1, 4), (2, 1), (1, 0)):
        with progress.running(n, n_later):
            for name in map(str, range(n)):
                progress.begin(name, "bpe", 0)
                progress.end(name, Outcome.COMPLETE, bits_per_byte=2.0)
    words = [line.split()[0] for line in file.getvalue().splitlines()]
    assert words == ["[1/≈5]", "[2/≈4]", "[3/≈4]", "[4/4]"]
    assert "left" not in file.getvalue().splitlines()[-1]


class Still:
    """Seconds that go on when they are told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def foreseen(file: io.StringIO, clock: Still) -> Progress:
    """Cells with one layer take 10 s a run, others 100 s, runs to come 50 s; two at a time."""
    progress = Progress(Console(file=file, force_terminal=False, width=200), clock)
    progress.foresee(lambda config: 10.0 if config.model.n_layer == 1 else 100.0, 50.0, 2)
    return progress


CHEAP, DEAR = (RunConfig(model=ModelConfig(n_layer=n)) for n in (1, 2))


def test_the_time_left_weighs_runs_by_what_they_were_forecast_to_take() -> None:
    """Forecast: 10 + 100 + 50 s of work. Two workers would need 50 s for the 100 that are left
    when 10 s are done; as that took 10 s instead of 5, it will be somewhat more."""
    file, clock = io.StringIO(), Still()
    progress = foreseen(file, clock)
    with progress.running(3):
        progress.begin("0", "cheap", 0, CHEAP)
        progress.begin("1", "dear", 0, DEAR)
        clock.seconds = 10
        progress.end("0", Outcome.COMPLETE, bits_per_byte=2.0)
        progress.begin("2", "cheap", 1, CHEAP)
        progress.update("1", replace(POINT, progress=1.0), None)
        clock.seconds = 20
        progress.end("2", Outcome.COMPLETE, bits_per_byte=2.0)
        progress.end("1", Outcome.COMPLETE, bits_per_byte=2.0)
    lines = file.getvalue().splitlines()
    left = (50 + 10) * (100 + 50) / (100 + 10)  # with what a run a worker takes for granted
    assert lines[0].endswith(f"10 s  about {left:.0f} s left")
    assert "left" not in lines[2]


def test_the_report_sets_what_was_forecast_beside_what_was() -> None:
    """Of 10 s and 100 s forecast it took 20 s and 80 s: off by a half and a quarter."""
    file, clock = io.StringIO(), Still()
    progress = foreseen(file, clock)
    assert progress.report() == ""
    with progress.running(3):
        progress.begin("0", "cheap", 0, CHEAP)
        progress.begin("1", "dear", 0, DEAR)
        progress.begin("2", "failed", 0, DEAR)
        clock.seconds = 20
        progress.end("0", Outcome.COMPLETE)
        progress.end("2", Outcome.FAILED, reason="no luck")
        clock.seconds = 80
        progress.end("1", Outcome.COMPLETE)
    assert progress.report() == (
        "Forecast: 2 runs were to take 55 s and took 50 s; a run was off by 38% (median)."
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (51, "51 s"), (89, "89 s"), (90, "2 min"), (540, "9 min"), (9000, "2 h")],
)
def test_a_duration_has_a_unit_in_which_it_is_short(seconds: float, words: str) -> None:
    assert say_seconds(seconds) == words
