"""The race: what each look settles, who is dropped, and that what was said stands."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from bench.conclude.stats import LOOKS, Look, Merits, Race, Rule, Verdict, share_of_look
from bench.conclude.stats.race import NINE_OF_TEN
from gpt.errors import ConfigError

APART = {"good": 2.0, "middling": 1.9, "bad": 0.5, "worst": 0.1}


def draw(means: dict[str, float], n_seeds: int, sd: float = 0.01, seed: int = 0) -> Merits:
    """So many runs of each cell."""
    rng = np.random.default_rng(seed)
    return {
        cell: {i: mean + sd * rng.standard_normal() for i in range(n_seeds)}
        for cell, mean in means.items()
    }


def look(merits: Merits, n_seeds: int, before: Sequence[Look] = ()) -> Look:
    """At the first so many seeds."""
    runs = {cell: [seed for seed in found if seed < n_seeds] for cell, found in merits.items()}
    share = share_of_look(n_seeds, [one.share for one in before])
    return Look(n_seeds=n_seeds, share=share, runs=runs)


def race(merits: Merits, *n_seeds: int, rule: Rule | None = None) -> Race:
    """Looked at after so many seeds."""
    looks: list[Look] = []
    for n in n_seeds:
        looks.append(look(merits, n, looks))
    return Race(merits, looks, rule or Rule())


def test_rule_09_no_winner_without_evidence_of_two_seeds() -> None:
    one = race(draw(APART, 1), 1)

    assert set(one.verdicts.values()) == {Verdict.UNDETERMINED}
    assert one.gain("good", "bad").margin == math.inf
    assert one.seeds_needed("good", "middling") is None
    assert not one.dropped


def test_rule_09_a_gap_of_a_hundred_times_the_spread_is_seen_with_two_seeds() -> None:
    two = race(draw(APART, 2), 2)

    assert two.dropped == {"bad": 2, "worst": 2}
    assert two.left == ["good", "middling"]
    assert list(two.verdicts.values()) == ["undetermined", "undetermined", "worse", "worse"]
    assert not two.settled


def test_a_race_ends_when_one_is_left() -> None:
    four = race(draw(APART, 4), 2, 3, 4)

    assert list(four.verdicts.values()) == ["better", "worse", "worse", "worse"]
    assert four.dropped["middling"] > four.dropped["bad"] == 2
    assert four.settled
    low, high = four.gain("good", "middling").interval
    assert low < 0.1 < high


def test_the_interval_of_a_pair_is_that_of_the_look_which_settled_it() -> None:
    merits = draw(APART, 12)
    early, late = race(merits, 2), race(merits, *LOOKS)

    assert late.gain("good", "bad") == early.gain("good", "bad")
    assert late.gain("good", "middling").margin < early.gain("good", "middling").margin


def test_a_verdict_once_given_stands_whatever_comes() -> None:
    merits = {cell: dict(runs) for cell, runs in draw(APART, 12).items()}
    assert race(merits, 2, 3, 5).settled
    for seed in range(5, 12):
        merits["middling"][seed] += 5.0

    later = race(merits, *LOOKS)
    assert later.gain("good", "middling").verdict is Verdict.BETTER
    assert later.order[0] == "good"


def test_what_is_worse_is_surely_behind_the_best_whichever_that_is() -> None:
    """Also a cell that another one than the leader beats, for the leader's own runs are wild."""
    means = {"wild": 2.0, **{f"tame {i}": 1.97 for i in range(6)}, "low": 1.8}
    by_another = 0
    for seed in range(40):
        merits = {}
        for place, (cell, mean) in enumerate(means.items()):
            spread = 0.05 if cell == "wild" else 0.002
            merits |= draw({cell: mean}, 3, sd=spread, seed=seed + 100 * place)
        found = race(merits, 2, 3)
        leader, *rivals = found.order
        for rival in rivals:
            behind = found.behind(rival)
            assert behind.interval[0] <= behind.interval[1]
            if found.verdicts[rival] is Verdict.WORSE:
                assert behind.interval[0] > found.matters / 2
                by_another += found.gain(leader, rival).interval[0] <= 0
    assert by_another


def test_what_beats_one_that_beats_a_third_beats_the_third() -> None:
    """The third has so wide a spread that nothing can be told of it but by the second."""
    merits = draw({"a": 3.0, "b": 2.0, "c": 1.0}, 5)
    runs = {cell: list(found) for cell, found in merits.items()}
    first = Look(n_seeds=5, share=0.5, runs={"b": runs["b"], "c": runs["c"]})
    second = Look(n_seeds=5, share=0.4, runs={"a": runs["a"], "b": runs["b"]})

    chained = Race(merits, [first, second], Rule())
    assert chained.gain("a", "c").verdict is Verdict.BETTER
    assert chained.verdicts == {"a": "better", "b": "worse", "c": "worse"}


def test_a_difference_that_does_not_matter_is_a_tie_and_one_that_may_is_none() -> None:
    merits = draw({"a": 2.0, "b": 1.999}, 8, sd=0.001)

    assert race(merits, 8).verdicts == {"a": "tie", "b": "tie"}  # 0.5% are 0.01
    assert race(merits, 8).settled
    strict = race(merits, 8, rule=Rule(matters=0.0005))
    assert set(strict.verdicts.values()) == {Verdict.UNDETERMINED}
    assert race(merits, 8, rule=Rule(matters=1e-6, alpha=0.5)).verdicts["a"] is Verdict.BETTER


def test_a_leader_that_ties_with_one_and_is_not_told_from_another_settles_nothing() -> None:
    merits = dict(draw({"a": 2.0, "b": 1.9995}, 8, sd=0.001))
    merits |= draw({"c": 1.98}, 8, sd=0.05, seed=3)
    found = race(merits, 8)

    assert found.gain("a", "b").verdict is Verdict.TIE
    assert found.verdicts["c"] is Verdict.UNDETERMINED
    assert found.verdicts["a"] is Verdict.UNDETERMINED
    assert not found.settled


def test_with_fewer_cells_left_the_intervals_get_narrower() -> None:
    merits = draw({"a": 2.0, "b": 1.99, **{str(i): 1.0 for i in range(8)}}, 8)
    pair = {cell: merits[cell] for cell in "ab"}

    stepped = race(merits, 8)
    assert len(stepped.dropped) == 8
    together = race(merits, 8, rule=Rule(matters=0.9))  # nothing is dropped
    assert stepped.gain("a", "b").margin < together.gain("a", "b").margin
    assert stepped.gain("a", "b").margin < 1.2 * race(pair, 8).gain("a", "b").margin


def test_the_runs_of_dropped_cells_tell_of_the_noise_for_ever() -> None:
    merits = draw({"a": 2.0, "b": 1.99, **{str(i): 1.0 for i in range(8)}}, 5)
    raced = {cell: {s: v for s, v in runs.items() if s < 2 or cell in "ab"}
             for cell, runs in merits.items()}  # fmt: skip
    noise = race(raced, 2, 3, 5).noise

    assert noise is not None
    assert noise.freedom == 2 * 4 + 8 * 1 - 4  # two cells with five seeds, eight with two


def test_what_no_look_has_seen_counts_for_means_alone() -> None:
    merits = draw(APART, 5)
    found = race(merits, 2)

    assert found.dropped == {"bad": 2, "worst": 2}
    assert found.gain("good", "middling").n == 2
    assert found.is_behind(["good", "middling"])
    assert not race(merits, 2, 3, 5).is_behind(["good", "middling"])


def test_speeds_are_compared_by_their_ratios() -> None:
    merits = draw({"a": math.log(110), "b": math.log(100)}, 5, sd=0.001)
    found = race(merits, 5, rule=Rule(matters=0.02, relative=True))

    assert found.matters == pytest.approx(math.log(1.02))
    assert found.gain("a", "b").mean == pytest.approx(math.log(1.1), abs=0.002)
    assert race(merits, 5, rule=Rule(matters=0.11, relative=True)).verdicts["a"] is Verdict.TIE


def test_as_many_seeds_as_are_said_to_be_needed_settle_it() -> None:
    """About as often as not, if the gain is what it seems."""
    merits = draw({"a": 2.0, "b": 1.97}, 5, sd=0.02, seed=4)
    needed = race(merits, 5).seeds_needed("a", "b")
    assert needed is not None
    assert 5 < needed < 100

    gain = race(merits, 5).gain("a", "b").mean
    settled = sum(
        race(draw({"a": 2.0, "b": 2.0 - gain}, needed, sd=0.02, seed=s), needed).settled
        for s in range(40)
    )
    assert 8 <= settled <= 40


def test_a_gain_said_to_be_detectable_is_detected_in_nine_of_ten() -> None:
    rng = np.random.default_rng(0)
    expected = race(draw({"a": 2.0, "b": 2.0}, 12, sd=0.02), 12).gain("a", "b").detectable
    found = 0
    for _ in range(100):
        merits = {
            cell: dict(enumerate(rng.normal(mean, 0.02, 12)))
            for cell, mean in {"a": 2.0 + expected, "b": 2.0}.items()
        }
        found += race(merits, 12).verdicts["a"] is Verdict.BETTER

    assert pytest.approx(1.2816) == NINE_OF_TEN
    assert found >= 70


def test_a_race_that_twelve_seeds_would_not_settle_is_hopeless() -> None:
    close = draw({"a": 2.0, "b": 1.999}, 12, sd=0.02, seed=5)
    assert not race(close, 2, 3).is_hopeless()  # too few to say so
    assert race(close, 2, 3, 4).is_hopeless()
    assert not race(close, *LOOKS).is_hopeless()  # it is over
    apart = draw({"a": 2.0, "b": 1.9}, 4, sd=0.02)
    assert not race(apart, 2, 3, 4).is_hopeless()
    alike = draw({"a": 2.0, "b": 1.9999}, 4, sd=0.002)
    assert not race(alike, 2, 3, 4).is_hopeless()  # it will be a tie


def test_missing_seeds_leave_pairs_that_share_too_few_open() -> None:
    merits = {
        "a": {0: 2.0, 1: 2.01, 2: 1.99, 3: 2.0},
        "b": {0: 1.0, 1: 1.01, 2: 1.02, 3: 1.0},
        "c": {3: 0.5},
    }
    found = race(merits, 4)

    assert found.gain("a", "c").n == 1
    assert found.verdicts == {"a": "undetermined", "b": "worse", "c": "undetermined"}


def test_cells_that_differ_in_nothing_are_told_apart_by_nothing() -> None:
    same = {cell: {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0} for cell in "ab"}

    assert race(same, 4).verdicts == {"a": "tie", "b": "tie"}


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 1.0}, {"matters": 0.0}])
def test_a_rule_that_decides_by_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        Rule(**wrong)
