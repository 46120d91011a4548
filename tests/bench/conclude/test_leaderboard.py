"""What a person reads: the board, on any terminal, and the remarks under it."""

import itertools
import math
import re
from dataclasses import replace

import pytest
from boards import APART, FACTS, UNLIKE, board, ended, lines, run, runs, standings

from bench.conclude.leaderboard import OPTIONS, show, show_budgets
from bench.conclude.standings import Standings
from bench.conclude.stats import Rule
from bench.ledger.outcome import Outcome
from bench.metrics import Metric
from gpt.config import TokenizerConfig


def test_a_winner_with_evidence_is_said_to_be_best() -> None:
    text = board(runs(APART))

    assert (
        "good is best: 1.898 bits per byte, 0.2041 ahead of the next, bad (99% interval: " in text
    )
    assert "A difference of less than 0.0095 bits per byte (0.5% of the best) is taken" in text
    assert "to all cells alike; 8 degrees of freedom). With 99% confidence all true" in text
    assert text.endswith(OPTIONS)
    fastest = board(runs(APART), "tokens_per_second")
    assert "worst is best: 22,998 tokens per second, 9.8% ahead of the next, bad (99%" in fastest
    assert "A difference of less than 2% is taken not to matter" in fastest


def test_rule_09_no_winner_without_evidence_on_the_leaderboard() -> None:
    one, two = board(runs(APART, 1)), board(runs({"a": 1.90, "b": 1.91}, 2))

    for text in (one, two):
        assert " bits per byte; whether it is best is undetermined." in text
        assert "too few runs yet to tell a difference from luck, however large it looks" in text
    assert "How much runs differ by luck is not known yet." in one
    assert "3 cells need at least 3 seeds each." in one
    assert "2 cells need at least 4 seeds each." in two


def test_so_many_seeds_as_are_said_to_be_enough_are_enough() -> None:
    for enough, names in ((4, "ab"), (3, "abc"), (2, "abcd")):
        cells = {name: 1.5 + i for i, name in enumerate(names)}
        assert f"at least {enough} seeds each" in board(runs(cells, enough - 1))
        assert "a is best" in board(runs(cells, enough, noise=0.0005))


def test_the_spread_is_the_standard_deviation_and_one_seed_has_none() -> None:
    two = [run(0, "a", 0, 1.0), run(0, "a", 1, 1.2), run(0, "a", 2, 1.4), run(1, "b", 0, 1.5)]

    assert "a 1.200 ±0.200 2.000" in board(two)
    assert "b 1.500 2.000" in board(two)


@pytest.mark.parametrize(
    ("seeds", "heading"),
    [(1, "steps behind the best verdict"), (3, "steps (99% interval) verdict")],
)
def test_only_an_interval_has_a_level(seeds: int, heading: str) -> None:
    shown = board(runs(APART, seeds))

    assert heading in shown
    assert "behind the best" in shown


def test_one_cell_alone_has_no_verdict() -> None:
    assert "verdict" not in board(runs({"only": 2.0}))


def test_a_cell_of_which_a_seed_diverged_is_shown_last_and_the_board_says_why() -> None:
    text = board(ended(runs(APART, seeds=8), Outcome.DIVERGED, "good", 1, 4, 6))

    assert "bad is best: 2.1" in text
    assert text.index(" worst 2.") < text.index(" good 1.900") < text.index("bad is best")
    assert "good 1.900 ±0.004" in text  # its numbers, and no lead over it
    assert "diverged in 3 of 8 seeds" in text
    assert "Not ranked: good (diverged in 3 of 8 seeds). Such a cell can neither lead" in text
    assert "diverged: good · seeds 1, 4, 6: why" in text


def test_a_diverged_cell_beside_one_other_is_named_too() -> None:
    text = board(ended(runs({"good": 1.9, "bad": 2.1}), Outcome.DIVERGED, "good", 1))

    assert "is best" not in text
    assert "Not ranked: good (diverged in 1 of 5 seeds). Such a cell can neither lead" in text


def test_cells_of_one_label_have_a_row_each() -> None:
    found = [replace(entry, label="x x") for entry in runs(APART)]
    rows = [
        line
        for line in lines(show("study", standings(found), []))
        if line.startswith("x x ") and "±" in line
    ]

    assert len({row.split()[2] for row in rows}) == 3


def test_a_rival_that_leaves_it_open_is_the_one_whose_evidence_is_shown() -> None:
    deviations = (-1.0, -0.5, 0.0, 0.5, 1.0)
    cells = {"a": (1.9, 0.001), "b": (1.95, 0.001), "c": (1.98, 0.05)}
    text = board(
        [
            run(cell, label, seed, value + spread * deviation)
            for cell, (label, (value, spread)) in enumerate(cells.items())
            for seed, deviation in enumerate(deviations)
        ]
    )

    assert "1.900 bits per byte; whether it is best is undetermined. After 5 seeds, c" in text
    assert re.search(
        r"c can't be told from the leader; to tell would take about \d+ seeds\.", text
    )


def test_seconds_of_a_run_that_never_got_there_are_not_those_to_the_target() -> None:
    entries = [
        replace(
            entry,
            summary=entry.summary
            | {"seconds_to_target": math.inf if entry.label == "slow" else 7.0 + i / 10},
        )
        for i, entry in enumerate(runs({"fast": 1.9, "slow": 2.1}, seeds=3))
    ]
    shown = board(entries, "seconds_to_target")

    assert "Not ranked: slow (did not reach the target in 3 of 3 seeds)." in shown
    assert "fast (" not in shown


def test_a_lossy_tokenizer_is_flagged() -> None:
    lossy = TokenizerConfig(kind="original-unigram", vocab_size=500)
    entries = [
        replace(e, config=replace(e.config, tokenizer=lossy), facts=FACTS | {"flags": "lossy"})
        if e.label == "bad"
        else e
        for e in runs(APART)
    ]

    text = board(entries)
    assert "bad (lossy)" in text
    assert "not ranked" in text
    assert "Lossy: bad. The tokenizer threw part of the text away" in text


@pytest.mark.parametrize("what", UNLIKE)
def test_unlike_runs_are_shown_and_not_ranked(what: str) -> None:
    edit, metric, message = UNLIKE[what]
    text = board([edit(entry) for entry in runs(APART)], metric)

    assert "Not ranked: " in text
    assert message in text


def test_how_many_ran_side_by_side_is_said_of_the_runs_that_are_shown() -> None:
    def beside(*counts: int) -> str:
        return board(
            [
                replace(entry, facts=FACTS | {"runs_side_by_side": counts[i % len(counts)]})
                for i, entry in enumerate(runs(APART))
            ]
        )

    assert "side by side" not in beside(1)
    assert "Speeds and seconds are those of 2 runs side by side" in beside(2)
    assert "Speeds and seconds are those of 1 or 2 runs side by side" in beside(1, 2)


def test_the_level_is_that_of_all_looks_together() -> None:
    strict = Rule(alpha=0.001)
    text = " ".join(lines(show("study", standings(runs(APART), rule=strict), [])))

    assert "(99.9% interval)" in text
    assert "With 99.9% confidence all true differences" in text


def raced() -> Standings:
    """Four cells, of which two were dropped at the first of two looks."""
    cells = {"good": 1.9, "near": 1.93, "bad": 2.5, "worst": 2.6}
    entries = [
        entry for entry in runs(cells)
        if entry.config.train.seed < 2 or entry.label in ("good", "near")
    ]  # fmt: skip
    early = [entry for entry in entries if entry.config.train.seed < 2]
    first = standings(early).looks
    found = Standings(entries=entries, metric="val_bits_per_byte", rule=Rule(), looks=first)
    look = found.look_due(5)
    assert look is not None
    return replace(found, looks=[*first, look])


def test_what_was_dropped_from_the_race_says_when() -> None:
    text = " ".join(lines(show("study", raced(), [])))

    assert text.count("worse, dropped after 2 seeds") == 2
    assert "good is best: 1.8" in text


def test_seeds_that_miss_for_one_reason_are_one_line() -> None:
    entries = [
        replace(e, outcome=Outcome.FAILED, reason="Trace\nwhy") for e in runs({"a": 1.0}, 2)
    ]
    entries += [
        replace(e, outcome=Outcome.DIVERGED, reason="nan")
        for e in runs({"a": 1.0, "b": 1.0}, 1)
        if e.label == "b"
    ]

    assert board(entries) == "Not complete: failed: a · seeds 0, 1: why diverged: b · seed 0: nan"


def test_what_rich_would_read_as_markup_is_text() -> None:
    found = [replace(e, label=f"data[old].txt [/b] {e.label}") for e in runs(APART)]

    assert "data[old].txt [/b] good" in board(found)


MAIN: dict[Metric, str] = {
    "val_bits_per_byte": "1.898 ±0.004",
    "val_loss": "2.000",
    "tokens_per_second": "18,974",
}


@pytest.mark.parametrize("metric", MAIN)
@pytest.mark.parametrize("width", [120, 80, 60, 40])
def test_on_a_narrow_terminal_columns_are_left_out_and_nothing_is_cut(
    width: int, metric: Metric
) -> None:
    found = runs({f"unigram {label}": value for label, value in APART.items()}, seeds=5)
    shown = lines(show("study", standings(found, metric), []), width)
    text = " ".join(" ".join(shown).split())

    assert "…" not in text
    row = next(line for line in shown if line.startswith("unigram good "))
    assert MAIN[metric] in row
    word = {"val_loss": "leads, tie", "val_bits_per_byte": "best"}.get(metric, "worse")
    assert word in row
    assert ("Left out for want of room: " in text) == (width < 120)


def test_the_least_important_columns_go_first() -> None:
    shown = show("study", standings(runs(APART)), [])

    def headings(width: int) -> set[str]:
        heading = next(line for line in lines(shown, width) if line.startswith("cell"))
        known = ("bits/byte", "loss", "tokens/s", "params", "context", "steps", "train s", "99%")
        return {name for name in known if name in heading}

    seen = [headings(width) for width in range(140, 29, -1)]
    assert all(narrower <= wider for wider, narrower in itertools.pairwise(seen))
    gone = [name for wider, narrower in itertools.pairwise(seen) for name in wider - narrower]
    assert gone == ["steps", "context", "loss", "tokens/s", "params", "train s", "99%"]


def test_seconds_and_intervals_stay_on_a_narrow_terminal() -> None:
    """With the longest verdict: words get narrower before an interval goes."""
    shown = show("study", raced(), [])

    assert any("train s" in line and "(99% interval)" in line for line in lines(shown, 80))
    [row] = [line for line in lines(shown, 60) if line.startswith("bad ")]
    assert re.search(r"2\.50\d ±0\.00\d +\+0\.\d+ to \+0\.\d+ +worse,", row)


def test_a_long_name_goes_on_in_a_further_line() -> None:
    long = "n_head 4 n_layer 2 learning_rate 0.0010000001 weight_decay None tokenizer unigram"
    found = [replace(e, label=long) if e.label == "good" else e for e in runs(APART)]
    shown = lines(show("study", standings(found), []), 60)

    [first] = [number for number, line in enumerate(shown) if "1.898 ±0.004" in line]
    assert " ".join(line.split("  ")[0] for line in shown[first:]).startswith(long)


def budgets(leaders: dict[str, dict[str, float]], seeds: int = 5) -> str:
    """Budget -> cells; every cell's config has the budget in it."""
    found = {}
    for steps, cells in leaders.items():
        entries = [
            replace(
                entry,
                config=entry.config.override({"steps": steps}),
                summary={**entry.summary, "n_steps": int(steps)},
            )
            for entry in sorted(runs(cells, seeds), key=lambda entry: entry.label)
        ]
        found[f"{steps} steps"] = standings(entries)
    return " ".join(" ".join(lines(show_budgets(found))).split())


def test_a_leader_under_every_budget_is_one_though_its_keys_are_not() -> None:
    text = budgets({"100": {"a": 1.9, "b": 2.1}, "200": {"a": 1.8, "b": 2.1}})

    assert "a leads under every one of these budgets." in text


def test_another_leader_is_claimed_only_where_both_leads_are_shown() -> None:
    first, second = {"a": 1.9, "b": 2.1}, {"a": 2.1, "b": 1.9}

    assert "The leader changes with the budget" in budgets({"100": first, "200": second})
    assert "is undetermined" in budgets({"100": first, "200": second}, seeds=1)
    assert "Not ranked under 200 steps" in budgets({"100": first, "200": {"a": 1.9}})
