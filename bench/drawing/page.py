"""A page of sections, pictures and tables: one HTML file that loads nothing and has no script."""

import base64
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from bench.drawing.legend import swatches
from bench.drawing.style import Style
from bench.drawing.svg import to_svg
from bench.system.controls import spell_controls
from bench.system.output import write_output


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One drawing of a picture."""

    figure: Figure
    title: str = ""
    """What this panel shows, where a picture has several."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One or more drawings that show one thing, and the numbers they are drawn from."""

    name: str
    """Unique in its page: letters, digits and dashes."""

    title: str
    """A sentence that says what the picture shows."""

    panels: Sequence[Panel]
    data: pd.DataFrame
    """Becomes a CSV file behind a link."""

    note: str = ""
    """How to read it, below the picture."""

    legend: Mapping[str, Style] = field(default_factory=dict)
    """Name -> its look in all panels; shown above them."""

    @property
    def swatches(self) -> list[tuple[str, Markup]]:
        """Each name of the legend, and inline SVG of its look."""
        return swatches(self.legend, self.name)

    @property
    def drawings(self) -> list[tuple[str, Markup]]:
        """Title and inline SVG of each panel."""
        return [
            (panel.title, Markup(to_svg(panel.figure, f"{self.name}-{i}", alt=self.title)))
            for i, panel in enumerate(self.panels)
        ]

    @property
    def download(self) -> Markup:
        """A link to its data."""
        return download(
            f"{self.name}.csv", "text/csv", self.data.to_csv(index=False), "data (CSV)"
        )


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with what belongs below it, in this order."""

    title: str
    name: str
    """Of the link to it."""

    paragraphs: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    content: Sequence[Markup] = field(default=())
    """Tables and texts that are HTML already."""


def download(file_name: str, kind: str, content: str, words: str) -> Markup:
    """A link that saves a text as a file; the text is in the link itself."""
    data = base64.b64encode(content.encode()).decode()
    link = '<a class="download" download="{}" href="data:{};base64,{}">{}</a>'
    return Markup(link).format(file_name, kind, data, words)


@cache
def templates() -> Environment:
    """The templates of pages; everything that is filled in is escaped unless it is `Markup`."""
    return Environment(
        loader=PackageLoader("bench", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def table(columns: Mapping[str, Sequence[str]], *, words: Collection[str] = ()) -> Markup:
    """A table with a row for each text of a column.

    Args:
        columns: heading -> texts from the top down.
        words: columns that hold words; the others hold numbers, and are set to the right.
    """
    template = templates().get_template("drawing/table.html")
    return Markup(
        template.render(
            columns=columns, rows=list(zip(*columns.values(), strict=True)), words=words
        )
    )


def escape_controls(page: str) -> str:
    """A page with its control characters spelled, in HTML."""
    return re.sub("<(U[+][0-9A-F]{4})>", r"&lt;\1&gt;", spell_controls(page))


def write_page(
    path: Path, *, title: str, subtitle: str, lead: str, sections: Sequence[Section]
) -> None:
    """Write a page as `bench.system.output` does.

    Args:
        subtitle: a line below the title.
        lead: the answer, in a sentence or two.
    """
    page = templates().get_template("drawing/page.html")
    text = page.render(title=title, subtitle=subtitle, lead=lead, sections=sections)
    write_output(path, escape_controls(text))
