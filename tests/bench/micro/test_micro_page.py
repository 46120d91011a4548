"""The page of a session, and its pictures."""

import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from matplotlib.lines import Line2D
from saved_sessions import benchmark, in_turns, session

from bench.drawing import Panel
from bench.drawing.style import PAPER
from bench.micro.report.page import write_report
from bench.micro.report.pictures import data, draw, looks_of
from bench.micro.report.questions import questions
from bench.micro.report.results import Results
from bench.micro.report.verdicts import NOT_IN_TURNS, fastest, race, say, times_as_long


@pytest.fixture
def saved() -> dict[str, Any]:
    return session()


def page_of(saved: dict[str, Any], folder: Path) -> str:
    page = folder / "page.html"
    write_report(Results.from_saved(saved), page)
    return page.read_text("utf-8")


def test_a_page_of_all_that_was_found_loads_nothing(saved: dict[str, Any], tmp_path: Path) -> None:
    saved["in_turns"] = [in_turns(T, loop=2.0, cumsum=1.0) for T in (8, 16, 32)]
    text = page_of(saved, tmp_path)

    addresses = re.findall(r"""(?:href|src)=["']([^"']*)""", text)
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"<(script|link|img|iframe)|@import", text)
    titles = re.findall(r"<h2>(.*)</h2>", text)
    assert titles == ["What was found", "Against T", "All numbers", "Without a time"]
    assert "wrong: it lies" in text.split("<h2>")[-1]
    assert "Wrong, and without a time: magic." in text.split("<h2>")[0]
    assert "a &lt;CPU&gt;, 2 threads" in text
    assert len(re.findall(r"<figure ", text)) == 1  # the optimizer has no T


def test_the_sentence_of_the_page_is_the_verdict(saved: dict[str, Any], tmp_path: Path) -> None:
    """In the list, over the picture and, for each T, below the table."""
    saved["in_turns"] = [
        in_turns(8, loop=1.0, cumsum=2.0),
        in_turns(16, loop=1.0, cumsum=3.0),
        in_turns(32, loop=1.0, cumsum=1.0),
    ]
    found = [race(q) for q in Results.from_saved(saved).in_turns]
    text = unescape(page_of(saved, tmp_path))

    times = re.search(r"takes (.*) times", say(found[1]))
    assert times is not None
    sentence = (
        f"loop is fastest at T = 8 to 16: at T = 16 cumsum, the next, takes {times[1]} times as "
        f"long; {', '.join(fastest(found[2]))} tie for the fastest at T = 32"
    )
    assert f"<li><b>causal mean, fp32</b>: {sentence}</li>" in text
    assert f"<figcaption>causal mean, fp32: {sentence}</figcaption>" in text
    assert f"in turns, T = 8: {say(found[0])}<br>" in text
    bold = re.findall(r"<td[^>]*><b>(.*?)</b>", text)
    assert bold == ["8 ms", "16 ms", "32 ms", "320 µs"]  # of the loop, and of the tie
    assert "Of 3 comparisons in turns: one answer is fastest in 2; some tie for it in 1." in text


def test_a_page_without_turns_says_so(saved: dict[str, Any], tmp_path: Path) -> None:
    text = page_of(saved, tmp_path)

    assert f"The answers were {NOT_IN_TURNS}." in text
    assert f"<b>causal mean, fp32</b>: {NOT_IN_TURNS}</li>" in text
    assert not re.search(r"is fastest( at|:)", text)


def series(name: str, *answers: str) -> list[dict[str, Any]]:
    return [benchmark(answer, T, 1e-3 * T, series=name) for answer in answers for T in (8, 16)]


def test_an_answer_has_one_look_in_all_pictures(saved: dict[str, Any], tmp_path: Path) -> None:
    """Each curve and each of its points, in every panel; no two of a picture share a colour."""
    others = [f"way {i}" for i in range(8)]
    saved["benchmarks"] = [
        *series("causal mean, fp32", "loop", "matmul", "cumsum"),
        *series("attention, fp32", "matmul", *others),
        *series("attention, bf16", *others[::-1], "matmul"),
    ]
    saved["in_turns"] = [in_turns(T, loop=1.0, matmul=2.0, cumsum=3.0) for T in (8, 16)]
    asked = questions(Results.from_saved(saved))
    looks = looks_of(asked)

    assert len(set(looks.values())) == 11
    for question in asked:
        picture = draw(question, looks)
        assert picture.legend == {name: looks[name] for name in question.names}
        assert len({look.colour for look in picture.legend.values()}) == len(question.names)
        for panel in picture.panels:
            seen = drawn(panel)
            assert seen.keys() == set(question.names)
            for name, lines in seen.items():
                assert {line.get_color() for line in lines} == {looks[name].colour}
                assert {line.get_marker() for line in lines} == {"None", looks[name].marker}
    shown: dict[str, set[str]] = {}
    for svg, name in re.findall(
        r"<span>(<svg.*?</svg>) (.*?)</span>", page_of(saved, tmp_path), re.S
    ):
        shown.setdefault(name, set()).update(re.findall(r"stroke: (#\w{6})", svg))
    assert shown == {name: {look.colour} for name, look in looks.items()}


def drawn(panel: Panel) -> dict[str, list[Line2D]]:
    """Answer -> its curve and its points, by their hints."""
    found: dict[str, list[Line2D]] = {}
    for line in panel.figure.axes[0].lines:
        if (words := unquote(line.get_gid() or "")).startswith("hint:"):
            found.setdefault(words.removeprefix("hint:").split(", T = ")[0], []).append(line)
    return found


def test_noisy_points_are_hollow_and_the_note_says_so(saved: dict[str, Any]) -> None:
    """In the pictures of times; memory has no noise."""
    saved["benchmarks"][1]["stats"]["iqr"] = 1.0  # the loop at T = 16
    saved["in_turns"] = [in_turns(T, loop=1.0, cumsum=2.0) for T in (8, 16, 32)]
    question = questions(Results.from_saved(saved))[0]
    picture = draw(question, looks_of([question]))

    hollow = {
        panel.title.split()[0]: [
            (name, line.get_xdata()[0])
            for name, lines in drawn(panel).items()
            for line in lines
            if line.get_markerfacecolor() == PAPER
        ]
        for panel in picture.panels
    }
    noisy = [("loop", 16)]
    assert hollow == {"Median": noisy, "In": [], "Peak": [], "Share": noisy}
    assert "Hollow: a noisy time" in picture.note
    saved["benchmarks"][1]["stats"]["iqr"] = 0.0
    question = questions(Results.from_saved(saved))[0]
    assert "Hollow" not in draw(question, looks_of([question])).note


def test_what_is_impossible_is_shaded_beyond_the_ceiling(saved: dict[str, Any]) -> None:
    """The least time of each answer is 10 µs; a share of the ceiling can't exceed the whole."""
    question = questions(Results.from_saved(saved))[0]
    time, _, share = draw(question, looks_of([question])).panels

    for panel, ceiling, beyond in ((time, 1e-5, min), (share, 1.0, max)):
        (axes,) = panel.figure.axes
        (area,) = axes.collections
        heights = [float(y) for y in area.get_paths()[0].vertices[:, 1]]
        edge = axes.get_ylim()[0 if beyond is min else 1]
        assert sorted({min(heights), max(heights)}) == pytest.approx(sorted((ceiling, edge)))
        assert beyond(heights) == pytest.approx(edge)


def test_the_interval_of_a_verdict_is_drawn(saved: dict[str, Any]) -> None:
    saved["in_turns"] = [in_turns(8, loop=1.0, cumsum=2.0)]
    question = questions(Results.from_saved(saved))[0]
    panel = draw(question, looks_of([question])).panels[1]

    _, low, high = times_as_long(question.races[8], "cumsum")
    spans = [tuple(line.get_ydata()) for line in panel.figure.axes[0].lines]
    assert (pytest.approx(low), pytest.approx(high)) in spans
    assert low < 2.0 < high


def test_the_numbers_of_a_picture_have_the_verdict(saved: dict[str, Any]) -> None:
    saved["in_turns"] = [in_turns(8, loop=1.0, cumsum=2.0)]
    table = data(questions(Results.from_saved(saved))).set_index(["name", "T"])

    assert table.loc[("cumsum", 8), "median_seconds"] == 8e-5
    assert table.loc[("loop", 8), "verdict_in_turns"] == "better"
    assert table.loc[("cumsum", 8), "times_as_long_in_turns"] == pytest.approx(2.0, rel=0.02)
    assert np.isnan(table.loc[("cumsum", 16), "times_as_long_in_turns"])


def test_a_device_that_keeps_no_peak_is_drawn_too(saved: dict[str, Any]) -> None:
    for row in saved["benchmarks"][:-1]:
        row["extra_info"]["peak_memory_bytes"] = None
    question = questions(Results.from_saved(saved))[0]
    picture = draw(question, looks_of([question]))

    assert [panel.title.split()[0] for panel in picture.panels] == ["Median", "Share"]
    assert "keeps no peak of its memory" in picture.note


def test_an_unstable_time_is_marked(saved: dict[str, Any], tmp_path: Path) -> None:
    saved["benchmarks"][0]["stats"]["iqr"] = 1.0

    text = page_of(saved, tmp_path)
    assert text.count("~8 ms") == 1
    assert "~ interquartile range over 20% of the median" in text


def test_a_stable_time_is_not(saved: dict[str, Any], tmp_path: Path) -> None:
    saved["benchmarks"][0]["stats"]["iqr"] = 0.2 * saved["benchmarks"][0]["stats"]["median"]

    assert "~" not in page_of(saved, tmp_path)
