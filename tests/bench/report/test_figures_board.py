"""The leaderboard as dots, the race, and the bars of devices: they show what was measured."""

import math
from dataclasses import replace

import pytest
from boards import APART, ended, run, runs, standings
from stories import axes_of, dots, of_seeds, rows_of, story, words_of

from bench.conclude.standings import Standings
from bench.ledger.ledger import Entry
from bench.ledger.outcome import Outcome
from bench.report.figures import leaderboard, machines, race

APART_RUNS = runs(APART)


def test_the_best_stands_at_the_top_with_its_mean_and_its_runs() -> None:
    told = story(APART_RUNS)
    picture = leaderboard(told)
    values = axes_of(picture)

    assert rows_of(values) == ["good", "bad", "worst"]
    for row, name in enumerate(("good", "bad", "worst")):
        of_cell = [e.summary["val_bits_per_byte"] for e in APART_RUNS if e.label == name]
        means = [x for x, y in dots(values) if y == row]
        small = sorted(x for x, y in dots(values) if row < y < row + 0.5)
        assert means == [pytest.approx(sum(of_cell) / 5)]
        assert small == pytest.approx(sorted(of_cell))
    assert picture is not None
    assert picture.title.startswith("The cells, best first")
    assert len(picture.data) == 15


def test_runs_with_one_value_are_drawn_side_by_side() -> None:
    values = axes_of(leaderboard(story(runs({"a": 1.9, "b": 2.1}, 3, noise=0.0))))

    assert (
        len({y for x, y in dots(values) if abs(x - 1.9) < 1e-9}) == 4
    )  # three runs, and their mean


def test_the_bars_are_the_intervals_of_the_board() -> None:
    told = story(APART_RUNS)
    axes = axes_of(leaderboard(told), 1)
    standing = told.standings

    bars = {
        line.get_ydata()[0]: line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2
    }
    for row, key in enumerate(standing.order[1:], start=1):
        lead = standing.leads[key]
        assert list(bars[row]) == pytest.approx(lead.interval)
        assert (pytest.approx(lead.mean), row) in dots(axes)
    assert words_of(axes) == ["best", "worse", "worse"]


def test_speeds_are_compared_by_ratios() -> None:
    entries = [
        run(cell, name, seed, 2.0, tokens_per_second=speed * (1 + 0.1 * seed))
        for cell, (name, speed) in enumerate({"slow": 1000.0, "fast": 4000.0}.items())
        for seed in range(5)
    ]
    picture = leaderboard(story(entries, "tokens_per_second"))

    assert rows_of(axes_of(picture)) == ["fast", "slow"]
    assert (pytest.approx(4.0), 1.0) in dots(axes_of(picture, 1))
    assert picture is not None
    slow = picture.data[picture.data.cell == "slow"].iloc[0]
    geometric = math.prod(1000 * (1 + 0.1 * seed) for seed in range(5)) ** (1 / 5)
    assert slow["mean"] == pytest.approx(geometric)
    assert slow.best_ahead_times_low < 4 < slow.best_ahead_times_high


def test_a_run_that_did_not_reach_the_target_is_not_drawn_at_infinity() -> None:
    entries = [
        run(cell, name, seed, 2.0, seconds_to_target=seconds)
        for cell, (name, seconds) in enumerate(
            {"ten": 10.0, "two": 2.0, "never": math.inf}.items()
        )
        for seed in range(3)
    ]
    axes = axes_of(leaderboard(story(entries, "seconds_to_target")))

    assert rows_of(axes) == ["two", "ten"]
    assert all(math.isfinite(x) for x, _ in dots(axes))


def test_a_cell_that_is_ruled_out_stands_below_the_others_and_is_hollow() -> None:
    picture = leaderboard(story(ended(APART_RUNS, Outcome.DIVERGED, "good", 0)))
    axes = axes_of(picture, 1)

    assert rows_of(axes) == ["bad", "worst", "good"]
    assert words_of(axes)[-1] == "diverged in 1 of 5 seeds"
    hollow = [line for line in axes_of(picture).lines if line.get_markerfacecolor() == "none"]
    assert [line.get_ydata()[0] for line in hollow] == [2]


def test_a_cell_far_behind_does_not_squeeze_the_others() -> None:
    entries = runs({"a": 2.0, "b": 2.02, "c": 2.03, "d": 2.04, "e": 2.05, "lost": 9.0})
    axes = axes_of(leaderboard(story(entries)), 1)

    assert axes.get_xlim()[1] < 1
    assert "+7" in words_of(axes)


def test_a_cell_alone_needs_no_board_and_no_race() -> None:
    alone = story(runs({"one": 2.0}))

    assert leaderboard(alone) is None
    assert race(alone) is None


def raced() -> Standings:
    """Cells that were dropped after two looks: `worst` at 3 seeds, `bad` at 5."""
    entries = runs({"good": 1.9, "bad": 1.93, "worst": 2.3})
    first = standings(of_seeds(entries, good=3, bad=3, worst=3))
    assert list(first.race.dropped) == [first.order[-1]]
    later = replace(first, entries=of_seeds(entries, worst=3))
    look = later.look_due(5)
    assert look is not None
    return replace(later, looks=[*first.looks, look])


def test_a_cell_s_row_ends_at_the_look_that_dropped_it() -> None:
    told = story(raced())
    picture = race(told)
    axes = axes_of(picture)

    assert rows_of(axes) == ["good", "bad", "worst"]
    marks = {y: x for x, y in dots(axes, "x")}
    assert marks == {2.0: 3.5}  # `bad` lost at the last look, and was run as often as `good`
    counts = [sum(y == row for _, y in dots(axes)) - (row in marks) for row in range(3)]
    assert counts == [5, 5, 3]
    assert words_of(axes) == ["ran to the end", "ran to the end", "dropped after 3"]
    assert picture is not None
    assert picture.title == "1 of 3 cells was dropped early, which saved 2 of 15 runs."
    assert "crosses" not in picture.note
    assert "The cross behind a row" in picture.note
    assert "measured the best again" not in picture.note
    again = race(replace(told, confirmation="It was lucky."))
    assert again is not None
    assert "measured the best again are not among them" in again.note


def test_a_race_that_dropped_nobody_says_nothing() -> None:
    assert race(story(runs({"a": 2.0, "b": 2.0001}))) is None


def test_a_race_in_which_all_stayed_is_one_and_fixed_seeds_are_none() -> None:
    entries = runs({"a": 2.0, "b": 2.01, "c": 2.02}, noise=0.02)
    first = standings(of_seeds(entries, a=3, b=3, c=3))
    assert first.race.dropped == {}
    later = replace(first, entries=entries)
    look = later.look_due(5)
    assert look is not None
    told = story(replace(later, looks=[*first.looks, look]))
    picture = race(told)

    assert picture is not None
    assert picture.title == "15 runs of 3 cells, none of which was dropped early."
    fixed = replace(told.about, looks=(5,))
    assert race(replace(told, about=fixed)) is None
    assert race(replace(story(raced()), about=fixed)) is None


def test_a_cell_that_lost_and_was_run_as_often_was_not_dropped_early() -> None:
    """More seeds were asked for afterwards."""
    found = raced()
    all_runs = runs({"good": 1.9, "bad": 1.93, "worst": 2.3})
    picture = race(story(replace(found, entries=all_runs)))

    assert picture is not None
    assert picture.title == "15 runs of 3 cells, none of which was dropped early."


def on(entries: list[Entry], **train: str) -> list[Entry]:
    return [
        replace(entry, config=entry.config.override(train), facts={**entry.facts})
        for entry in entries
    ]


def test_the_bars_of_devices_are_their_means_and_what_could_not_run_is_named() -> None:
    entries = [
        *on([run(0, "float32", s, 2.0, tokens_per_second=v) for s, v in enumerate((50.0, 200.0))]),
        *on(
            [
                run(1, "bfloat16", s, 2.0, tokens_per_second=v)
                for s, v in enumerate((400.0, 400.0))
            ],
            dtype="bfloat16",
        ),
        *ended(on([run(2, "cuda", 0, 2.0)], device="cuda"), Outcome.INFEASIBLE, "cuda", 0),
    ]
    picture = machines(story(entries, "tokens_per_second"))
    axes = axes_of(picture)

    assert rows_of(axes) == ["bfloat16", "float32", "cuda"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([400, 100])
    assert words_of(axes) == ["400", "100", "infeasible"]
    assert picture is not None
    assert "bfloat16 trains fastest" in picture.title


def test_one_device_in_one_precision_makes_no_bars() -> None:
    assert machines(story(APART_RUNS, "tokens_per_second")) is None
