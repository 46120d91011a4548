"""A figure of matplotlib as SVG: with words that can be selected, and hints under the pointer.

Inline in a page its ink and ground are variables of the page's style sheet, so that one picture
serves a light screen, a dark one and paper.
"""

import io
import re
from typing import Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree

import matplotlib
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from bench.drawing.style import FAINT, INK, PAPER

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
HINT = "hint:"
VARIABLES = {INK: "var(--ink)", FAINT: "var(--faint)", PAPER: "var(--paper)"}
FAMILY = re.compile(r"font-family: [^;]*")
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)


def hint(artist: Artist, text: str) -> None:
    """Let a browser show this text while the pointer is over the artist."""
    artist.set_gid(HINT + quote(text))


def to_svg(figure: Figure, name: str, *, alt: str) -> str:
    """The picture for use inside a page: it takes the page's colours, and loads nothing.

    Args:
        name: unique in its page.
        alt: what the picture shows, for those who can't see it.
    """
    root = _tree(figure, name)
    width, height = (root.attrib.pop(side).removesuffix("pt") for side in ("width", "height"))
    root.set("role", "img")
    root.set("aria-label", alt)
    root.set("style", f"max-width: {float(width) * 4 / 3:.0f}px")
    root.set("viewBox", f"0 0 {width} {height}")
    text = ElementTree.tostring(root, encoding="unicode")
    for colour, variable in VARIABLES.items():
        text = re.sub(colour, variable, text, flags=re.IGNORECASE)
    return text


def standalone(figure: Figure, name: str) -> str:
    """The picture as a file of its own, on white."""
    root = _tree(figure, name)
    ground = ElementTree.Element(f"{{{SVG}}}rect", width="100%", height="100%", fill=PAPER)
    root.insert(0, ground)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _tree(figure: Figure, name: str) -> Any:
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(buffer.getvalue())
    if (metadata := root.find(f"{{{SVG}}}metadata")) is not None:
        root.remove(metadata)
    _name_parts(root)
    for text in root.iter(f"{{{SVG}}}text"):
        text.set("style", FAMILY.sub(f"font-family: {FONTS}", text.get("style", "")))
    return root


def _name_parts(root: Any) -> None:
    """Turn what `hint` left into titles, and keep only the ids that the picture itself uses."""
    used = set(re.findall(r"#([\w-]+)", ElementTree.tostring(root, encoding="unicode")))
    for element in root.iter():
        own = element.get("id", "")
        if own.startswith(HINT):
            title = ElementTree.Element(f"{{{SVG}}}title")
            title.text = unquote(own.removeprefix(HINT))
            element.insert(0, title)
        if own and own not in used:
            del element.attrib["id"]
