"""Which look belongs to which name? Swatches above a picture, for all of its panels."""

from collections.abc import Mapping

from markupsafe import Markup
from matplotlib.figure import Figure

from bench.drawing.style import Style
from bench.drawing.svg import to_svg


def swatches(looks: Mapping[str, Style], picture: str) -> list[tuple[str, Markup]]:
    """Each name, and its line and marker as inline SVG.

    Args:
        picture: the name of the picture, unique in its page.
    """
    return [
        (name, Markup(to_svg(_swatch(look), f"{picture}-look-{i}", alt="")))
        for i, (name, look) in enumerate(looks.items())
    ]


def _swatch(look: Style) -> Figure:
    figure = Figure(figsize=(0.5, 0.17), dpi=72)
    figure.patch.set_visible(False)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1), ylim=(-1, 1))
    axes.set_axis_off()
    axes.plot([0.04, 0.96], [0, 0], **look.curve)
    axes.plot([0.5], [0], color=look.colour, **look.point)
    return figure
