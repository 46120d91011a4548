"""What a person watches while a study runs: the whole and each worker, as bars.

Off a terminal (a log, a pipe) it is a line when the texts are ready, and one for each run that
ends. Whoever reads them may go away: nothing here can end a study.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from bench.ledger.outcome import Outcome
from gpt.training.loop import Point


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
        self._rows: dict[str, TaskID] = {}
        self._progress: dict[str, float] = {}
        self._words: dict[str, tuple[str, float]] = {}
        """Of a run at work: what it is called, and when it began."""

        self._n_texts = self._n_made = 0
        self._texts_start = 0.0
        self._advance_texts: Callable[[], None] = lambda: None

        self._ready = ""
        """What the texts came to, until it is said."""

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
    def running(self, n_runs: int) -> Iterator[None]:
        """Show the runs of a launch."""
        self._n_runs, self._n_ended, self._n_gaps = n_runs, 0, 0
        self._start = self._now()
        if n_runs:  # not where the next step refuses, or nothing is left to do
            self._say_ready()
        with self._draw() as bars:
            self._bars = bars
            self._all = bars.add_task(f"{n_runs} runs", total=n_runs, status="")
            yield
        self._bars = None

    def begin(self, name: str, label: str, seed: int) -> None:
        """A run was given out."""
        if self._bars:
            words = f"{label} · seed {seed}"
            self._words[name] = words, self._now()
            self._rows[name] = self._bars.add_task(words, total=1.0, status="starting")

    def update(self, name: str, point: Point, n_steps: int | None) -> None:
        """A run has come to a point."""
        if not self._bars:
            return
        of = f"/{n_steps}" if n_steps else ""
        status = (
            f"step {point.step}{of}  loss {point.train_loss:.3f}  "
            f"{point.tokens_per_second:,.0f} tokens/s"
        )
        self._progress[name] = point.progress
        self._bars.update(self._rows[name], completed=point.progress, status=status)
        self._update_all()

    def end(
        self, name: str, outcome: Outcome, *, reason: str = "", bits_per_byte: float | None = None
    ) -> None:
        """A run has ended.

        Args:
            reason: why it is not complete; of a traceback, the last line is shown.
            bits_per_byte: its final one, if it has any.
        """
        if not self._bars:
            return
        self._bars.remove_task(self._rows.pop(name))
        self._progress.pop(name, None)
        self._n_ended += 1
        self._n_gaps += not outcome.answers
        self._update_all()
        words, start = self._words.pop(name)
        came_to = str(outcome)
        if outcome.answers and bits_per_byte is not None:
            came_to = f"{bits_per_byte:.3f} bits/byte"
        elif reason.strip():
            last = reason.strip().splitlines()[-1]
            came_to = last if last.startswith(came_to) else f"{came_to}: {last}"
        seconds = say_seconds(self._now() - start)
        line = f"[{self._n_ended}/{self._n_runs}] {words}  {came_to}  {seconds}"
        self._write(f"{line}{self._say_left()}")

    def extend(self, n_runs: int) -> None:
        """There are more runs than there were: a failed one is tried again."""
        if self._bars:
            self._n_runs += n_runs
            self._bars.update(self._all, total=self._n_runs)

    def _update_all(self) -> None:
        if self._bars:
            gaps = f", {self._n_gaps} not complete" if self._n_gaps else ""
            self._bars.update(
                self._all,
                completed=self._n_done,
                status=f"{self._n_ended} ended{gaps}",
            )

    @property
    def _n_done(self) -> float:
        """Runs that have ended, and the parts of those at work."""
        return self._n_ended + sum(self._progress.values())

    def _say_left(self) -> str:
        n_left = self._n_runs - self._n_done
        if n_left <= 0:
            return ""
        return f"  about {say_seconds((self._now() - self._start) * n_left / self._n_done)} left"

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
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )


def say_seconds(seconds: float) -> str:
    """A duration in the unit in which it has about two digits."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
