"""A table that fits any width by leaving out whole columns, the least important first.

Rich shortens every column of a table that is too wide, and a number without its last digits is
another number. The columns that are left out are named below the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

FOLDS_FROM = 24
"""Least width of a column of words; longer words wrap onto further lines."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A table that drops its spare columns until it fits; words wrap if that is not enough."""

    title: str
    columns: Mapping[str, Sequence[str]]
    """Heading -> what stands under it."""

    words: tuple[str, ...]
    """Headings of columns that hold words, which may go on in a further line; numbers don't."""

    spare: tuple[str, ...]
    """Headings of the columns that may be left out, in that order."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, and the names of the columns that it lacks."""
        left_out: list[str] = []
        table = self._table(left_out)
        for heading in (name for name in self.spare if name in self.columns):
            if _least_width(table, console, options) <= options.max_width:
                break
            left_out.append(heading)
            table = self._table(left_out)
        yield table
        if left_out:
            words = f"Left out for want of room: {', '.join(reversed(left_out))}."
            yield Text(words, style="dim")

    def _table(self, left_out: Sequence[str]) -> Table:
        table = Table(title=Text(self.title), title_justify="left", header_style="bold")
        table.box, table.padding = box.SIMPLE_HEAD, (0, 1, 0, 0)
        shown = {name: cells for name, cells in self.columns.items() if name not in left_out}
        for heading, cells in shown.items():
            width = max(map(len, (heading, *cells)))
            if heading in self.words:
                table.add_column(Text(heading), overflow="fold", min_width=min(width, FOLDS_FROM))
            else:
                table.add_column(Text(heading), justify="right", no_wrap=True, min_width=width)
        for row in zip(*shown.values(), strict=True):
            table.add_row(*map(Text, row))
        return table


def _least_width(table: Table, console: Console, options: ConsoleOptions) -> int:
    """Width in characters at which nothing in the table is cut."""
    return Measurement.get(console, options.update(max_width=1000), table).minimum
