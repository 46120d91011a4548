"""Which colour does MLflow's UI draw a cell in? So that no two cells of a study share one.

The UI gives a group of runs the colour that a hash of the group's name points at, and keeps no
other choice on the server. The hash changes with each character at the end of the name, and some
characters are not shown. So the tag by which curves are grouped is the cell's name and as many of
them as it takes. A run alone has the tag `mlflow.runColor` for its colour.
"""

import struct
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

PALETTE = (
    "#a6630c", "#c83243", "#b45091", "#8a63bf", "#434a93", "#137dae", "#04867d", "#308613",
    "#facb66", "#1f272d", "#445461", "#5f7281", "#8396a5", "#93320b", "#be501e", "#de7921",
    "#f2be88", "#115026", "#277c43", "#3ba65e", "#8ddda8", "#9e102c", "#c82d4c", "#e65b77",
    "#f792a6", "#0e538b", "#2272b4", "#4299e0", "#8acaff",
)  # fmt: skip
"""The colours of MLflow's UI, in its order."""

MOST_UNLIKE = (
    "#137dae", "#de7921", "#1f272d", "#8acaff", "#c83243", "#facb66", "#8a63bf", "#277c43",
    "#f792a6", "#8396a5", "#93320b", "#8ddda8", "#434a93", "#b45091",
)  # fmt: skip
"""Those of them that are told apart best, in the order in which cells get them."""

SPACE, ZERO_WIDTH_SPACE = " ", "\u200b"
"""Neither is shown at the end of a line."""

MOST_ADDED = 24
"""Of each; half as many reach every colour from most names."""

TAG_CURVE = "curve"
"""The tag by which runs are grouped into curves."""


TAG_COLOUR = "mlflow.runColor"


class Colour(NamedTuple):
    """How a cell gets its colour."""

    curve: str
    """The value of the tag `curve` of its runs."""

    colour: str
    """The value of the tag `mlflow.runColor` of its runs."""


def colours(names: Iterable[str]) -> dict[str, Colour]:
    """Name of each cell -> its colour; past all of the palette they come again."""
    order = [*MOST_UNLIKE, *(colour for colour in PALETTE if colour not in MOST_UNLIKE)]
    wanted = {name: order[i % len(order)] for i, name in enumerate(names)}
    return {name: Colour(_curve(name, colour), colour) for name, colour in wanted.items()}


def _curve(name: str, colour: str) -> str:
    """A name with so many invisible characters at its end that the UI draws it in a colour."""
    added = sorted(product(range(MOST_ADDED), repeat=2), key=sum)
    curves = (name + SPACE * spaces + ZERO_WIDTH_SPACE * others for spaces, others in added)
    return next((curve for curve in curves if colour_of(curve) == colour), name)


def colour_of(curve: str) -> str:
    """The colour in which the UI draws a curve."""
    low = high = 0
    units = f"tag.{TAG_CURVE}.{curve}".encode("utf-16-le")  # what a string of JavaScript holds
    for (unit,) in struct.iter_unpack("<H", units):
        low = (low + unit) % 255
        high = (high + low) % 255
    return PALETTE[(low | high << 8) % len(PALETTE)]
