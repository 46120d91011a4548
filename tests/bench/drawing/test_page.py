"""A page of pictures that can be sent around."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from markupsafe import Markup

from bench.drawing import (
    Panel,
    Picture,
    Section,
    hint,
    new_axes,
    standalone,
    styles,
    write_page,
)

DATA = pd.DataFrame({"cell": ["a, b"], "bits per byte": [2.5]})


def panel(title: str = "") -> Panel:
    figure, axes = new_axes(xlabel="bytes of text", ylabel="bits/byte")
    (line,) = axes.plot([1, 2], [3, 2], **styles(["bpe"])["bpe"].curve)
    hint(line, 'bpe <512> & "more"')
    return Panel(figure=figure, title=title)


class Elements(HTMLParser):
    """Collects the tags of a page, its ids and the addresses that it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name.endswith(("href", "src")):
                self.addresses.append(str(value))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    pictures = [
        Picture(name=name, title="The loss falls", panels=[panel("left"), panel()], data=DATA)
        for name in ("one", "two")
    ]
    sections = [
        Section(title="Curves", name="curves", paragraphs=["<b>not bold</b>"], pictures=pictures),
        Section(title="Text", name="text", content=[Markup("<pre>kept\x1b[31m\x85</pre>")]),
    ]
    path: Path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(path, title="A & B", subtitle="", lead="2 < 3", sections=sections)
    return path.read_text("utf-8")


def test_a_page_loads_nothing_and_runs_nothing(page: str) -> None:
    elements = Elements(page)

    assert elements.tags.count("svg") == 4
    assert not {"script", "link", "iframe"} & set(elements.tags)
    assert all(address.startswith(("#", "data:")) for address in elements.addresses)
    assert "@import" not in page


def test_every_id_of_a_page_is_unique_and_every_reference_is_there(page: str) -> None:
    elements = Elements(page)

    assert len(set(elements.ids)) == len(elements.ids)
    links = {address[1:] for address in elements.addresses if address.startswith("#")}
    assert links | set(re.findall(r"url\(#([\w-]+)\)", page)) <= set(elements.ids)


def test_text_is_escaped_and_markup_kept(page: str) -> None:
    assert "<title>A &amp; B</title>" in page
    assert "&lt;b&gt;not bold" in page
    assert "<pre>kept" in page


def test_control_characters_are_spelled(page: str) -> None:
    assert "<pre>kept&lt;U+001B&gt;[31m&lt;U+0085&gt;</pre>" in page


def test_a_hint_becomes_the_title_of_what_it_is_for(page: str) -> None:
    assert '<title>bpe &lt;512&gt; &amp; "more"</title>' in page


def test_the_numbers_of_a_picture_are_behind_a_link(page: str) -> None:
    [first, _] = re.findall(r'download="\w+\.csv" href="data:text/csv;base64,([^"]+)"', page)

    assert base64.b64decode(first).decode() == 'cell,bits per byte\n"a, b",2.5\n'


def test_a_page_recolours_its_pictures_and_a_file_is_whole(page: str) -> None:
    alone = standalone(panel().figure, "alone")

    assert "#26282b" not in page.split("</style>", 1)[1]
    assert "var(--ink)" in page
    assert "var(" not in alone
    assert alone.startswith("<svg")


def test_no_two_of_many_curves_look_the_same() -> None:
    looks = styles(f"cell {i}" for i in range(30)).values()

    assert len(set(looks)) == 30
    assert len({look.colour for look in list(looks)[:10]}) == 10
    assert not {look.marker for look in looks} & set("xX+P1234")  # crosses stand for failures


def test_a_legend_shows_each_name_with_its_look(tmp_path: Path) -> None:
    looks = styles(["bpe", "<byte>"])
    pictures = [
        Picture(name=name, title="Two looks", panels=[], data=DATA, legend=looks)
        for name in ("one", "two")
    ]
    section = Section(title="Curves", name="curves", pictures=pictures)
    write_page(tmp_path / "page.html", title="", subtitle="", lead="", sections=[section])
    text = (tmp_path / "page.html").read_text("utf-8")

    for legend in text.split('<p class="legend">')[1:]:
        one, two = legend.split("</p>")[0].split("</span>")[:2]
        assert one.endswith(" bpe")
        assert two.endswith(" &lt;byte&gt;")
        assert looks["bpe"].colour in one
        assert looks["<byte>"].colour in two
    ids = Elements(text).ids
    assert len(ids) == len(set(ids)) > 4
