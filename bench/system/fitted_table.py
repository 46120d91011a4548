"""A table that fits any width by leaving out whole columns, the least important first.

Rich shortens every column of a table that is too wide, and a number without its last digits is
another number. The columns that are left out are named below the table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

FOLDS_FROM = 24
"""Least width of a column of words while spare columns are left; longer words wrap onto further
lines."""

FOLDS_TO = 12
"""The same when none is left."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A table that drops its spare columns until it fits; words wrap if that is not enough, and
    last the dear columns go."""

    title: str
    columns: Mapping[str, Sequence[str]]
    """Heading -> what stands under it. A heading may have several lines."""

    words: tuple[str, ...]
    """Headings of columns that hold words, which may go on in a further line; numbers don't."""

    spare: tuple[str, ...]
    """Headings of the columns that may be left out, in that order."""

    dear: tuple[str, ...] = ()
    """Headings of the columns that go after them, when the words can't get narrower."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, and the names of the columns that it lacks."""
        for left_out, width in self._attempts():
            table = self._table(left_out, width)
            if _least_width(table, console, options) <= options.max_width:
                break
        yield table
        if left_out:
            words = ", ".join(heading.replace("\n", " ") for heading in reversed(left_out))
            yield Text(f"Left out for want of room: {words}.", style="dim")

    def _attempts(self) -> Iterator[tuple[list[str], int]]:
        """Headings to leave out, and the least width of words: the widest table first."""
        spare, dear = (
            [name for name in names if name in self.columns] for names in (self.spare, self.dear)
        )
        yield from ((spare[:n], FOLDS_FROM) for n in range(len(spare) + 1))
        yield from (([*spare, *dear[:n]], FOLDS_TO) for n in range(len(dear) + 1))

    def _table(self, left_out: Sequence[str], least_width: int) -> Table:
        table = Table(title=Text(self.title), title_justify="left", header_style="bold")
        table.box, table.padding = box.SIMPLE_HEAD, (0, 1, 0, 0)
        shown = {name: cells for name, cells in self.columns.items() if name not in left_out}
        for heading, cells in shown.items():
            width = max(map(len, (*heading.splitlines(), *cells)))
            if heading in self.words:
                table.add_column(Text(heading), overflow="fold", min_width=min(width, least_width))
            else:
                table.add_column(Text(heading), justify="right", no_wrap=True, min_width=width)
        for row in zip(*shown.values(), strict=True):
            table.add_row(*map(Text, row))
        return table


def _least_width(table: Table, console: Console, options: ConsoleOptions) -> int:
    """Width in characters at which nothing in the table is cut."""
    return Measurement.get(console, options.update(max_width=1000), table).minimum
