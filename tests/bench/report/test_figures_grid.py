"""The heat map, names that fit, and units for people."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from boards import ended, runs
from stories import axes_of, story, words_of

from bench.conclude.doubts import listed
from bench.drawing import new_axes
from bench.ledger.outcome import Outcome
from bench.report.figures import heat_map
from bench.report.figures.heat_map import layout_of
from bench.report.figures.labels import fold, fold_all, label_points, spread
from bench.report.figures.quantities import Quantity

GRID = {
    f"n_head {h} n_layer {n}": {"n_head": h, "n_layer": n} for h, n in product((8, 1), (2, 4, 16))
}
VALUES = {name: 2.0 + 0.1 * i for i, name in enumerate(GRID)}


def test_each_square_has_its_cell_s_mean() -> None:
    told = story(runs(VALUES, noise=0.0), params=GRID)
    picture = heat_map(told)
    axes = axes_of(picture)

    assert [label.get_text() for label in axes.get_yticklabels()] == ["1", "8"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "4", "16"]
    drawn = {text.get_position(): text.get_text() for text in axes.texts}
    places = {1: 0, 8: 1}, {2: 0, 4: 1, 16: 2}
    assert drawn == {
        (places[1][of_cell["n_layer"]], places[0][of_cell["n_head"]]): f"{VALUES[name]:.3f}"
        for name, of_cell in GRID.items()
    }
    assert picture is not None
    assert picture.title.startswith("Bits per byte by n_head and n_layer: n_head 8 n_layer 2")
    assert picture.note.endswith(
        " Mean at n_layer 2: 2.150, 4: 2.250, 16: 2.350; 1 minus 8 there: +0.300, +0.300, +0.300."
    )


def test_what_three_values_do_is_said_in_means_and_only_of_full_rows() -> None:
    params = {
        f"{kind} {size}": {"kind": kind, "size": size}
        for kind, size in product("abc", (1, 2, 4, 8))
    } | {"d": {"kind": "d"}}
    values = {name: 2.0 + 0.1 * i for i, name in enumerate(params)}
    picture = heat_map(story(runs(values, noise=0.0), params=params))

    assert picture is not None
    assert picture.note.endswith(
        " Mean at size 1: 2.400, 2: 2.500, 4: 2.600, 8: 2.700; at kind a: 2.150, b: 2.550, "
        "c: 2.950."
    )


def test_darker_is_better_whichever_way_the_metric_goes() -> None:
    for metric, best in (("val_bits_per_byte", (0, 1)), ("tokens_per_second", (2, 0))):
        axes = axes_of(heat_map(story(runs(VALUES, noise=0.0), metric, params=GRID)))
        squares = [patch for patch in axes.patches if patch.get_fill()]
        darkest = min(squares, key=lambda patch: sum(patch.get_facecolor()[:3]))
        (frame,) = (patch for patch in axes.patches if not patch.get_fill())

        assert darkest.get_xy() == frame.get_xy()
        assert np.round(np.add(frame.get_xy(), 0.46)) == pytest.approx(best)


def test_a_parameter_that_only_some_cells_have_leaves_hatched_squares() -> None:
    params = {"byte": {"tokenizer": "byte"}} | {
        f"{kind} {size}": {"tokenizer": kind, "vocab_size": size}
        for kind, size in product(("bpe", "unigram"), (512, 1024))
    }
    entries = runs(dict.fromkeys(params, 2.0))
    entries = ended(entries, Outcome.INFEASIBLE, "bpe 512", *range(5))
    axes = axes_of(heat_map(story(entries, params=params)))

    assert [label.get_text() for label in axes.get_xticklabels()] == ["—", "512", "1024"]
    assert sum(patch.get_hatch() is not None for patch in axes.patches) == 4
    assert Counter(words_of(axes))["infeasible"] == 1


def test_a_third_parameter_makes_a_panel_for_each_of_its_values() -> None:
    params = {
        f"{a} {b} {c}": {"a": a, "b": b, "c": c} for a, b, c in product((1, 2), "xyz", (3, 4, 5))
    }
    layout = layout_of(params)

    assert layout is not None
    assert (layout.down, layout.across) == ("b", "c")
    assert {title: len(cells) for title, cells in layout.panels.items()} == {"a 1": 9, "a 2": 9}
    assert layout.panels["a 2"][1, 2] == "2 y 5"


def test_no_grid_no_squares() -> None:
    one = {name: {"n_head": i} for i, name in enumerate(VALUES)}
    line = {name: {"n_head": i, "n_layer": i} for i, name in enumerate(VALUES)}

    assert heat_map(story(runs(VALUES))) is None
    assert heat_map(story(runs(VALUES), params=one)) is None
    assert heat_map(story(runs(VALUES), params=line)) is None
    lost = ended(runs(VALUES), Outcome.INFEASIBLE, "n_head 1 n_layer 2", *range(5))
    for name in ("n_head 1 n_layer 4", "n_head 1 n_layer 16"):
        lost = ended(lost, Outcome.INFEASIBLE, name, *range(5))
    assert heat_map(story(lost, params=GRID)) is None  # one row is left


def test_labels_are_kept_apart_in_their_order_and_near_their_places() -> None:
    assert spread([0.5, 0.1, 0.9], 0.2, 0, 1) == pytest.approx([0.5, 0.1, 0.9])
    assert spread([0.5, 0.5, 0.5], 0.2, 0, 1) == pytest.approx([0.3, 0.5, 0.7])
    assert spread([0.0, 0.01], 0.2, 0, 1) == pytest.approx([0.0, 0.2])
    assert spread([0.99, 1.0], 0.2, 0, 1) == pytest.approx([0.8, 1.0])


def test_long_names_are_folded_but_stay_apart() -> None:
    long = [f"learning_rate 0.0133 warmup_fraction 0.142 n_layer {n}" for n in (1, 2)]

    assert fold("unigram 4096") == "unigram 4096"
    assert fold(long[0], 24) == "learning_rate 0.0133\nwarmup_fraction 0.142…"
    assert len(set(fold_all(long))) == 2
    assert all(len(line) <= 24 for name in fold_all(long) for line in name.splitlines())
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed([*"abcdefg"]) == "a, b, c and 4 more"


def test_names_beside_points_do_not_cover_each_other() -> None:
    figure, axes = new_axes()
    places = {f"cell number {i}": (0.5 + 0.001 * i, 0.5 + 0.001 * i) for i in range(4)}
    axes.set(xlim=(0, 1), ylim=(0, 1))
    label_points(figure, axes, places)

    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_numbers_have_units_for_people() -> None:
    seconds = Quantity(column="s", name="training time", unit="s")
    text = Quantity(column="b", name="text read", unit="B")

    assert [seconds.say(value) for value in (0.5, 59, 90, 7200)] == [
        "0.5 s", "59 s", "1.5 min", "2 h",
    ]  # fmt: skip
    assert [text.say(value) for value in (12, 59_800, 2e9)] == ["12 B", "59.8 kB", "2 GB"]
    assert text.label(text.scale(400_000)[1]) == "text read (kB)"
