"""What a person watches while a study runs: the whole and each worker. Silent off a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

from bench.outcome import Outcome
from gpt.train import Point


class Progress:
    """Bars on a terminal.

    Args:
        console: where to draw; nothing is drawn unless it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None
        self._rows: dict[str, TaskID] = {}
        self._progress: dict[str, float] = {}
        self._n_ended = 0
        self._n_gaps = 0

    @contextmanager
    def preparing(self, n_texts: int) -> Iterator[Callable[[], None]]:
        """Show that texts are made ready; yields what to call when one is."""
        with self._draw() as bars:
            row = bars.add_task("tokenizers and text", total=n_texts, status="")
            yield lambda: bars.advance(row)

    @contextmanager
    def running(self, n_runs: int) -> Iterator[None]:
        """Show the runs of a launch."""
        with self._draw() as bars:
            self._bars = bars
            self._all = bars.add_task(f"[bold]{n_runs} runs", total=n_runs, status="")
            yield
        self._bars = None

    def begin(self, name: str, label: str, seed: int) -> None:
        """A run was given out."""
        if self._bars:
            self._rows[name] = self._bars.add_task(
                f"{label} · seed {seed}", total=1.0, status="starting"
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
        self._progress[name] = point.progress
        self._bars.update(self._rows[name], completed=point.progress, status=status)
        self._update_all()

    def end(self, name: str, outcome: Outcome) -> None:
        """A run has ended."""
        if not self._bars:
            return
        self._bars.remove_task(self._rows.pop(name))
        self._progress.pop(name, None)
        self._n_ended += 1
        self._n_gaps += not outcome.answers
        self._update_all()

    def extend(self, n_runs: int) -> None:
        """There are more runs than there were: a failed one is tried again."""
        if self._bars:
            task = self._bars.tasks[0]
            self._bars.update(self._all, total=(task.total or 0) + n_runs)

    def _update_all(self) -> None:
        if self._bars:
            gaps = f", {self._n_gaps} not complete" if self._n_gaps else ""
            self._bars.update(
                self._all,
                completed=self._n_ended + sum(self._progress.values()),
                status=f"{self._n_ended} ended{gaps}",
            )

    def _draw(self) -> Bars:
        return Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
