"""The curves, and what quality costs."""

from collections.abc import Mapping, Sequence

import pandas as pd
import pytest
from boards import APART, ended, run, runs
from stories import axes_of, dots, story, with_numbers, words_of

from bench.conclude.stats import Verdict
from bench.conclude.summary import summarize
from bench.ledger.ledger import Entry
from bench.ledger.outcome import Outcome
from bench.report.figures import cost, curves
from bench.report.figures.cost import SPEED, front
from bench.report.figures.curves import ALL_NAMED, coloured, curve_data

FALL = (4.0, 3.0, 2.5, 2.25)


def points(entries: Sequence[Entry], values: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Curves: each seed is 0.1 above the one before; a step reads 100 bytes and takes a second."""
    return pd.DataFrame(
        {
            "cell_key": entry.cell,
            "seed": entry.config.train.seed,
            "step": step,
            "train/bytes": 100.0 * step,
            "train/seconds": float(step),
            "train/flops": 1e6 * step,
            "val_part/bpb": value + 0.1 * entry.config.train.seed,
        }
        for entry in entries
        for step, value in enumerate(values[entry.label], start=1)
    )


def test_a_curve_is_the_mean_of_its_seeds_and_its_band_their_range() -> None:
    entries = runs({"one": 2.0, "two": 2.1}, seeds=3)
    given = points(entries, {"one": FALL, "two": FALL})
    told = story(entries, curves=given)

    data = curve_data(told)
    axes = axes_of(curves(told))

    one = data[data.cell == "one"]
    assert list(one["mean"]) == pytest.approx([value + 0.1 for value in FALL])
    assert list(one.low) == pytest.approx(FALL)
    assert list(one.high) == pytest.approx([value + 0.2 for value in FALL])
    assert list(one["train/bytes"]) == [100, 200, 300, 400]
    drawn = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert len(drawn) == 2
    assert list(drawn[0].get_ydata()) == pytest.approx([value + 0.1 for value in FALL])
    assert words_of(axes) == ["one", "two"]
    assert axes.get_xlabel() == "text read (B)"


def test_points_without_an_evaluation_and_runs_that_diverged_are_left_out() -> None:
    entries = runs({"one": 2.0, "two": 2.1}, seeds=2)
    given = points(entries, {"one": FALL, "two": FALL})
    given.loc[given.step == 2, "val_part/bpb"] = float("nan")
    told = story(ended(entries, Outcome.DIVERGED, "two", 1), curves=given)

    data = curve_data(told)

    assert list(data[data.cell == "one"]["train/bytes"]) == [100, 300, 400]
    assert set(data[data.cell == "two"].seeds) == {1}


def test_the_mean_does_not_jump_where_a_seed_ends_early() -> None:
    """As it does under a budget in seconds."""
    entries = runs({"one": 2.0, "two": 2.1}, seeds=2)
    given = points(entries, {"one": FALL, "two": FALL})
    given = given[(given.seed == 0) | (given.step < 4)]

    assert list(curve_data(story(entries, curves=given)).groupby("cell").size()) == [3, 3]


def test_the_title_says_who_is_lowest_at_the_same_cost() -> None:
    """The slow cell has fewer bits for the same text, but more in the same time."""
    seconds = {"slow": 9.0, "quick": 3.0}
    entries = [
        with_numbers(entry, train_seconds=seconds[entry.label])
        for entry in runs({"slow": 2.0, "quick": 2.1}, seeds=2)
    ]
    given = points(entries, {"slow": (3.0, 2.5, 2.2), "quick": (3.1, 2.6, 2.3)})
    slow = given.cell_key == entries[0].cell
    given.loc[slow, ["train/seconds", "train/flops"]] *= 3.0

    picture = curves(story(entries, curves=given))

    assert picture is not None
    assert picture.title == (
        "Lowest mean: slow with the same text; quick in the same time and with the same "
        "computation. Curves are of a part of the validation text; their ends are up to "
        f"{off_by(entries):.3f} from the final numbers."
    )


def off_by(entries: Sequence[Entry]) -> float:
    """How far the ends of the curves above are from the final numbers."""
    finals = pd.DataFrame({"cell": e.label, **e.summary} for e in entries)
    means = finals.groupby("cell").val_bits_per_byte.mean()
    return float(max(abs(2.25 - means["slow"]), abs(2.35 - means["quick"])))


def test_the_title_says_nothing_of_times_that_vary_as_much() -> None:
    entries = [
        with_numbers(entry, train_seconds=3.0 + 6.0 * (entry.config.train.seed == 1))
        for entry in runs({"one": 2.0, "two": 2.1}, seeds=2)
    ]
    picture = curves(story(entries, curves=points(entries, {"one": FALL, "two": FALL})))

    assert picture is not None
    assert picture.title.startswith("Lowest mean: one with the same text and with the same comp")
    assert len(picture.panels) == 3


def test_the_title_says_where_the_order_of_all_the_text_is_another() -> None:
    entries = runs({"one": 2.25, "two": 2.3}, seeds=1, noise=0.0)
    other = (4.0, 3.0, 2.5, 2.2)
    alike = curves(story(entries, curves=points(entries, {"one": FALL, "two": (4, 3, 3, 2.3)})))
    crossed = curves(story(entries, curves=points(entries, {"one": FALL, "two": other})))

    assert alike is not None
    assert crossed is not None
    assert alike.title.endswith("Curves are of a part of the validation text.")
    assert crossed.title.endswith("up to 0.100 from the final numbers, and in another order.")


def test_no_curves_no_picture() -> None:
    entries = runs({"one": 2.0, "two": 2.1}, seeds=1)
    short = points(entries, {"one": FALL[:2], "two": FALL[:2]})

    assert curves(story(entries)) is None
    assert curves(story(entries, curves=pd.DataFrame(columns=["step"]))) is None
    assert curves(story(entries, curves=short)) is None


def test_of_many_cells_the_best_the_last_and_the_first_begun_have_colours() -> None:
    cells = {f"cell {i}": 2.0 + (5.2 - i) ** 2 / 100 for i in range(12)}
    told = story(runs(cells, seeds=1, noise=0.0001))

    names = [told.names[key] for key in coloured(told.order, told)]

    assert names == ["cell 5", "cell 6", "cell 4", "cell 7", "cell 0", "cell 11"]
    assert len(coloured(told.order[:ALL_NAMED], told)) == ALL_NAMED


def table(cells: Mapping[str, tuple[float, float]]) -> pd.DataFrame:
    return pd.DataFrame(
        {"key": name, "x": x, "val_bits_per_byte": y} for name, (x, y) in cells.items()
    )


def test_the_front_is_what_nothing_cheaper_or_better_beats() -> None:
    cells = {
        "cheap": (1.0, 3.0), "beaten": (2.0, 3.1), "middle": (2.0, 2.5), "same": (2.5, 2.5),
        "trifle": (2.7, 2.4999), "best": (4.0, 2.0), "dear": (5.0, 2.2),
    }  # fmt: skip
    assert front(table(cells), "x") == ["cheap", "middle", "best"]
    assert front(table(cells), "x", more=True) == ["dear", "best"]
    assert front(table({}).reindex(columns=["key", "x", "val_bits_per_byte"]), "x") == []


def priced(**cells: tuple[float, float, float]) -> list[Entry]:
    """Cells of two runs with so many bits per byte, seconds and parameters."""
    return [
        with_numbers(
            run(cell, name, seed, bits + 0.01 * seed), train_seconds=seconds, n_params=n_params
        )
        for cell, (name, (bits, seconds, n_params)) in enumerate(cells.items())
        for seed in range(2)
    ]


def test_quality_stands_above_its_cost_in_units_for_people() -> None:
    picture = cost(story(priced(small=(3.0, 60, 1e6), big=(2.0, 180, 2e7), bad=(3.5, 120, 4e6))))
    seconds, n_params = axes_of(picture), axes_of(picture, 1)

    assert (seconds.get_xlabel(), n_params.get_xlabel()) == (
        "training time (min)",
        "parameters (M)",
    )
    assert set(dots(seconds)) == {(1, 3.005), (3, 2.005), (2, 3.505)}
    assert (seconds.get_xscale(), n_params.get_xscale()) == ("linear", "log")
    assert words_of(seconds) == ["small", "big"]
    assert picture is not None
    assert picture.title == (
        "By their means: big has the fewest bits per byte; small trains in the least time; small "
        "has the fewest parameters."
    )
    assert list(picture.data.front_train_seconds) == [True, True, False]


def test_what_costs_the_same_makes_no_panel() -> None:
    assert cost(story(runs(APART))) is not None  # their speeds differ
    alike = [with_numbers(entry, tokens_per_second=1000) for entry in runs(APART)]

    assert cost(story(alike)) is None
    assert cost(story(runs({"one": 2.0}))) is None


def test_cells_are_called_as_good_only_where_that_is_the_verdict() -> None:
    """Not because their means are near to each other."""
    seconds = {"a": 10.0, "b": 20.0, "c": 30.0}
    told = [
        story(
            [
                with_numbers(entry, train_seconds=seconds[entry.label])
                for entry in runs({"a": 2.0, "b": 2.002, "c": 2.004}, noise=noise)
            ]
        )
        for noise in (0.02, 0.0005)
    ]
    near, tied = told
    picture, other = cost(near), cost(tied)

    assert set(near.standings.verdicts.values()) == {Verdict.UNDETERMINED}
    assert picture is not None
    assert other is not None
    best = near.names[near.order[0]]
    assert picture.title == (
        f"By their means: {best} has the fewest bits per byte; a trains in the least time."
    )
    assert other.title == (
        "By their means: a, b and c tie in bits per byte; a trains in the least time."
    )
    bottom, top = axes_of(picture).get_ylim()
    assert top - bottom > 0.01 * top


def test_more_tokens_per_second_is_better() -> None:
    """Where all train for the same time."""
    entries = [
        with_numbers(run(cell, name, seed, bits), tokens_per_second=speed * (1 + seed / 10))
        for cell, (name, bits, speed) in enumerate([("fast", 2.5, 9e5), ("good", 2.0, 3e5)])
        for seed in range(2)
    ]
    told = story(entries)
    picture = cost(told)

    assert axes_of(picture).get_xlabel() == f"{SPEED.name} (k)"
    assert picture is not None
    assert "fast trains fastest" in picture.title
    speeds = summarize(told.standings).set_index("key").tokens_per_second
    assert dict(zip(picture.data.key, picture.data.tokens_per_second, strict=True)) == dict(speeds)


@pytest.mark.parametrize(("seconds", "n_seeds"), [((10.0, 47.0), 2), ((10.0,), 1)])
def test_of_times_that_vary_as_much_none_is_called_the_least(
    seconds: Sequence[float], n_seeds: int
) -> None:
    entries = [
        with_numbers(run(cell, name, seed, bits), train_seconds=factor * seconds[seed])
        for cell, (name, bits, factor) in enumerate([("a", 2.0, 2.0), ("b", 2.1, 1.0)])
        for seed in range(n_seeds)
    ]
    picture = cost(story(entries))

    assert picture is not None
    assert picture.title == "By their means: a has the fewest bits per byte."
    level = [line for line in axes_of(picture).lines if len({*line.get_ydata()}) == 1]
    drawn = {tuple(line.get_xdata()) for line in level if len(line.get_xdata()) == 2}
    assert drawn >= {(2 * seconds[0], 2 * seconds[-1])} or n_seeds == 1
