"""What a person watches while a study runs: the whole and each worker, as bars.

Off a terminal (a log, a pipe) it is a line when the texts are ready, and one for each run that
ends. Whoever reads them may go away: nothing here can end a study.

The time left is what the runs left were forecast to take, in the ratio in which those before them
took what they were forecast to; without a forecast, one run is taken for as long as another.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from bench.ledger.outcome import Outcome
from bench.system.console import say_seconds
from gpt.config import RunConfig
from gpt.training.loop import Point


@dataclass(kw_only=True)
class _Run:
    """A run at work."""

    words: str
    begun: float
    row: TaskID
    seconds: float | None
    """What it was forecast to take."""

    weight: float
    """The same, or of runs without a forecast their usual time; as a share of what is to do."""

    progress: float = 0.0


class Progress:
    """Bars on a terminal, lines elsewhere.

    Args:
        console: where to draw, or to write.
        now: seconds on a monotonic clock.
    """

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._now = now
        self._bars: Bars | None = None
        self._runs: dict[str, _Run] = {}
        self._about = ""
        self._n_ended = self._n_gaps = 0
        self._weight_ended = 0.0
        self._seconds_before = 0.0
        """That earlier runs of this command took."""

        self._predict: Callable[[RunConfig], float | None] = lambda config: None  # noqa: ARG005
        self._usual: float | None = None
        self._n_workers = 1
        self._forecast: list[tuple[float, float]] = []
        """Of each complete run, what it was forecast to take and what it took."""

        self._n_texts = self._n_made = 0
        self._texts_start = 0.0
        self._advance_texts: Callable[[], None] = lambda: None

        self._ready = ""
        """What the texts came to, until it is said."""

    def foresee(
        self, predict: Callable[[RunConfig], float | None], usual: float, n_workers: int
    ) -> None:
        """Tell the time left by a forecast.

        Args:
            predict: seconds of a run, or None.
            usual: of one of which nothing is known yet.
            n_workers: runs side by side.
        """
        self._predict, self._usual, self._n_workers = predict, usual, n_workers

    @contextmanager
    def preparing(self, n_texts: int) -> Iterator[None]:
        """Show that texts are made ready, before any run; the last ones may come beside runs."""
        self._n_texts, self._texts_start = n_texts, self._now()
        with self._draw() as bars:
            row = bars.add_task("tokenizers and text", total=n_texts, status="")
            self._advance_texts = lambda: bars.advance(row)
            yield
        self._advance_texts = lambda: None

    def text_made(self) -> None:
        """A text is ready, or known to be infeasible; after the last one it is said."""
        self._n_made += 1
        self._advance_texts()
        if self._n_made == self._n_texts:
            seconds = say_seconds(self._now() - self._texts_start)
            self._ready = f"{self._n_texts} text{'s' * (self._n_texts != 1)} ready  {seconds}"
            if self._bars:
                self._say_ready()

    def _say_ready(self) -> None:
        if self._ready:
            self._write(self._ready)
            self._ready = ""

    @contextmanager
    def running(self, n_runs: int, n_later: int = 0) -> Iterator[None]:
        """Show runs, counted on from those that ended before.

        Args:
            n_runs: that are to be run now.
            n_later: about how many come after these.
        """
        self._n_runs = self._n_ended + n_runs + n_later
        self._about = "≈" * (n_later > 0)
        self._start = self._now()
        if n_runs:  # not where the next step refuses, or nothing is left to do
            self._say_ready()
        with self._draw() as bars:
            words = f"{self._about}{self._n_runs} runs"
            self._all = bars.add_task(words, total=self._n_runs, status="")
            self._bars = bars
            self._update_all()
            yield
        self._bars = None
        self._seconds_before += self._now() - self._start

    def begin(self, name: str, label: str, seed: int, config: RunConfig | None = None) -> None:
        """A run was given out; its config says what it is forecast to take."""
        if self._bars:
            words = f"{label} · seed {seed}"
            seconds = self._predict(config) if config else None
            self._runs[name] = _Run(
                words=words,
                begun=self._now(),
                row=self._bars.add_task(words, total=1.0, status="starting"),
                seconds=seconds,
                weight=seconds or self._usual or 1.0,
            )

    def update(self, name: str, point: Point, n_steps: int | None) -> None:
        """A run has come to a point."""
        if not self._bars:
            return
        of = f"/{n_steps}" if n_steps else ""
        status = (
            f"step {point.step}{of}  loss {point.train_loss:.3f}  "
            f"{point.tokens_per_second:,.0f} tokens/s"
        )
        run = self._runs[name]
        run.progress = point.progress
        self._bars.update(run.row, completed=point.progress, status=status)
        self._update_all()

    def end(
        self, name: str, outcome: Outcome, *, reason: str = "", bits_per_byte: float | None = None
    ) -> None:
        """A run has ended.

        Args:
            reason: why it is not complete; of a traceback, the last line is shown.
            bits_per_byte: its final one, if it has any.
        """
        if not self._bars or name not in self._runs:
            return
        run = self._runs.pop(name)
        self._bars.remove_task(run.row)
        self._n_ended += 1
        self._n_gaps += not outcome.answers
        self._weight_ended += run.weight
        self._update_all()
        came_to = str(outcome)
        if outcome.answers and bits_per_byte is not None:
            came_to = f"{bits_per_byte:.3f} bits/byte"
        elif reason.strip():
            last = reason.strip().splitlines()[-1]
            came_to = last if last.startswith(came_to) else f"{came_to}: {last}"
        seconds = self._now() - run.begun
        if outcome is Outcome.COMPLETE and run.seconds:
            self._forecast.append((run.seconds, seconds))
        of = f"{self._about}{max(self._n_runs, self._n_ended)}"
        line = f"[{self._n_ended}/{of}] {run.words}  {came_to}  {say_seconds(seconds)}"
        left = self._say_left()
        self._write(f"{line}  about {left} left" if left else line)

    def extend(self, n_runs: int) -> None:
        """There are more runs than there were: a failed one is tried again."""
        if self._bars:
            self._n_runs += n_runs
            self._bars.update(self._all, total=self._n_runs)

    def report(self) -> str:
        """What the runs were forecast to take beside what they took; "" without a forecast."""
        if not self._forecast:
            return ""
        off = statistics.median(abs(forecast / took - 1) for forecast, took in self._forecast)
        forecast, took = (
            say_seconds(sum(seconds) / self._n_workers)
            for seconds in zip(*self._forecast, strict=True)
        )
        n_runs = len(self._forecast)
        runs = f"{n_runs} runs were" if n_runs > 1 else "1 run was"
        return (
            f"Forecast: {runs} to take {forecast} and took {took}; "
            f"a run was off by {off:.0%} (median)."
        )

    def _update_all(self) -> None:
        if self._bars:
            gaps = f", {self._n_gaps} not complete" if self._n_gaps else ""
            at_work = sum(run.progress for run in self._runs.values())
            self._bars.update(
                self._all,
                completed=self._n_ended + at_work,
                status=f"{self._n_ended} ended{gaps}",
            )

    def _say_left(self) -> str:
        """About how long the runs left take; "" if none is left, or nothing is known yet."""
        runs = tuple(self._runs.values())  # at once: bars are drawn by a thread of their own
        at_work = sum(run.weight * run.progress for run in runs)
        done = self._weight_ended + at_work
        n_waiting = max(0, self._n_runs - self._n_ended - len(runs))
        left = sum(run.weight for run in runs) - at_work + n_waiting * (self._usual or 1.0)
        seconds = self._seconds_before + self._now() - self._start
        if self._usual is not None:  # a forecast counts as much as a run of each worker
            done += self._usual * self._n_workers
            seconds += self._usual
        return say_seconds(seconds * left / done) if left > 0 and done > 0 else ""

    def say(self, line: str) -> None:
        """A line of its own, above the bars where a terminal has them."""
        if self._console.is_terminal:
            self._console.print(line, soft_wrap=True)
        self._write(line)

    def _write(self, line: str) -> None:
        if not self._console.is_terminal:
            with suppress(OSError):  # rich would end the process where a pipe is broken
                print(line, file=self._console.file, flush=True)

    def _draw(self) -> Bars:
        return Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[status]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            _Left(self._left_of),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )

    def _left_of(self, row: TaskID) -> str | None:
        """Of the bar of all runs, the time left; of another, None."""
        return self._say_left() if self._bars is not None and row == self._all else None


class _Left(TimeRemainingColumn):
    """The time left, by another's reckoning where it has one."""

    def __init__(self, left_of: Callable[[TaskID], str | None]) -> None:
        super().__init__()
        self._left_of = left_of

    def render(self, task: Task) -> Text:
        left = self._left_of(task.id)
        return super().render(task) if left is None else Text(left, style="progress.remaining")
