"""The shared look of what is drawn: colours, pictures as inline SVG, and a page that holds them.

A page is one file that loads nothing, has no script, and adapts to dark screens, phones and paper.
"""

from bench.drawing.page import Panel, Picture, Section, download, table, templates, write_page
from bench.drawing.style import Style, new_axes, styles
from bench.drawing.svg import hint, standalone, to_svg

__all__ = [
    "Panel",
    "Picture",
    "Section",
    "Style",
    "download",
    "hint",
    "new_axes",
    "standalone",
    "styles",
    "table",
    "templates",
    "to_svg",
    "write_page",
]
