"""The results as pictures: time and memory against T, on logarithmic axes, with the ceilings.

A power of T is a straight line: the cumulative sum has slope 1, and methods that fill a T × T
matrix have slope 2. The shaded area is impossible: there even the least arithmetic and the least
bytes would exceed the machine's ceilings.
"""

import base64
import html
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator
from rich.console import Console

from bench.micro.results import Results, Row
from bench.micro.tables import duration, memory, tables

COLOURS = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee",
    "#aa3377", "#bb7744", "#555555", "#88aadd", "#99cc77",
)  # fmt: skip
MARKERS = "osD^vPX*<>"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Microbenchmarks</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto;
         padding: 0 1rem; color: #222; background: #fff }}
  img {{ max-width: 100%; height: auto }}
  pre {{ overflow-x: auto; font-size: 13px; line-height: 1.35 }}
  h2 {{ margin-top: 3rem }}
</style>
<h1>Microbenchmarks</h1>
<p>{subtitle}</p>
{pictures}
<h2>Numbers</h2>
<pre>{numbers}</pre>
</html>
"""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A drawn series."""

    title: str
    png: bytes

    @property
    def file_name(self) -> str:
        """The title in letters, digits and dashes only."""
        words = "".join(c if c.isalnum() else " " for c in self.title.lower()).split()
        return f"{'-'.join(words)}.png"


def write_report(results: Results, folder: Path) -> Path:
    """Write a PNG for each series with a T, and a page that holds them all; returns the page.

    The page is one file that loads nothing else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [draw(results, series) for series in results.series if _curves(results.of(series))]
    for picture in pictures:
        (folder / picture.file_name).write_bytes(picture.png)
    page = folder / "index.html"
    page.write_text(_page(results, pictures), encoding="utf-8")
    return page


def draw(results: Results, series: str) -> Picture:
    """Time and memory of a series against T, as PNG."""
    rows = results.of(series)
    figure = Figure(figsize=(10, 4.6), dpi=150)
    figure.set_layout_engine("constrained", w_pad=0.1)
    time_axes, memory_axes = figure.subplots(1, 2)
    last = rows[-1]
    threads = f", threads: {last.threads}" if last.device == "cpu" else ""
    figure.suptitle(f"{series}   ({last.device_name}{threads})", fontsize=12)
    _draw_time(time_axes, rows)
    _draw_memory(memory_axes, rows)
    handles, labels = time_axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Picture(title=series, png=buffer.getvalue())


def _curves(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Contestant -> its rows in the order of T; rows without a T are left out."""
    curves: dict[str, list[Row]] = {}
    for row in sorted((row for row in rows if row.T is not None), key=lambda row: row.T or 0):
        name = row.name if len({r.device for r in rows}) == 1 else f"{row.name}, {row.device}"
        curves.setdefault(name, []).append(row)
    return curves


def _style(i: int) -> dict[str, Any]:
    """Colour, marker and line of the i-th curve; later ones are dashed, to show those beneath."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "marker": MARKERS[i % len(MARKERS)],
        "linestyle": "-" if i < 4 else (0, (4, 2)),
        "linewidth": 1.6,
        "markersize": 5,
    }


def _draw_time(axes: Axes, rows: Sequence[Row]) -> None:
    for i, (name, curve) in enumerate(_curves(rows).items()):
        seconds = [row.median_seconds for row in curve]
        axes.plot(_lengths(curve), seconds, label=name, **_style(i))
    lengths = sorted(set(_lengths(rows)))
    floor = [min(row.floor_seconds for row in rows if row.T == T) for T in lengths]
    axes.plot(lengths, floor, color="#999999", linestyle=":", label="ceiling (matmul or copy)")
    _axes(axes, lengths, "median time", lambda value, _: duration(value))
    bottom = axes.get_ylim()[0]
    axes.fill_between(lengths, floor, [bottom] * len(floor), color="#999999", alpha=0.15)
    axes.set_ylim(bottom=bottom)


def _draw_memory(axes: Axes, rows: Sequence[Row]) -> None:
    if all(row.peak_memory_bytes is None for row in rows):
        axes.set_axis_off()
        axes.text(0.5, 0.5, "this device keeps no peak of its memory", ha="center")
        return
    for i, curve in enumerate(_curves(rows).values()):
        n_bytes = [row.peak_memory_bytes or math.nan for row in curve]
        axes.plot(_lengths(curve), n_bytes, **_style(i))
    lengths = sorted(set(_lengths(rows)))
    _axes(axes, lengths, "peak memory of a call", lambda value, _: memory(round(value)))


def _axes(
    axes: Axes, lengths: Sequence[int], ylabel: str, formatter: Callable[[float, int], str]
) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(lengths))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(formatter))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("T, tokens")
    axes.set_ylabel(ylabel)
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)


def _lengths(curve: Sequence[Row]) -> list[int]:
    return [row.T for row in curve if row.T is not None]


def _page(results: Results, pictures: Sequence[Picture]) -> str:
    console = Console(file=io.StringIO(), width=150)
    with console.capture() as captured:
        console.print(*tables(results), sep="\n")
    images = [
        f"<h2>{html.escape(picture.title)}</h2>\n<img alt='{html.escape(picture.title)}' "
        f"src='data:image/png;base64,{base64.b64encode(picture.png).decode()}'>"
        for picture in pictures
    ]
    return PAGE.format(
        subtitle=html.escape(f"Commit {results.commit}, {results.taken_at}"),
        pictures="\n".join(images),
        numbers=html.escape(captured.get()),
    )
