"""Each look at more runs is paid for, also by later commands; the same runs are one look."""

import math
from dataclasses import replace

import pytest
from boards import APART, ended, run, runs
from ledgers import Open, claims

from bench.conclude.looks import evidence_of, look_at, rule_at
from bench.conclude.stats import CellComparison, NoiseFloor, PairedDifferences, Rule, compare_cells
from bench.ledger.outcome import Outcome


def test_all_looks_there_may_ever_be_spend_no_more_than_alpha() -> None:
    levels = [Rule(alpha=0.05, look=look).level for look in range(1, 10_001)]

    assert levels[:3] == pytest.approx([0.05 / 2, 0.05 / 6, 0.05 / 12])
    assert 0.0499 < math.fsum(levels) < 0.05
    assert Rule(alpha=0.05).level == 0.05


def test_another_seed_is_another_look_and_the_same_runs_are_not() -> None:
    five, six = runs(APART, 5), runs(APART, 6)
    looks = [evidence_of(five)]

    assert rule_at([], five).look == 1
    assert rule_at(looks, five).look == 1
    assert rule_at(looks, six).look == 2
    assert rule_at([*looks, evidence_of(six)], five).look == 1
    assert rule_at(looks, list(reversed(five))).look == 1
    assert rule_at(looks, ended(six, Outcome.INTERRUPTED, "good", 5)).look == 2
    gone = [entry for entry in six if entry.config.train.seed < 5 or entry.label != "good"]
    assert evidence_of(ended(six, Outcome.INTERRUPTED, "good", 5)) == evidence_of(gone)
    assert evidence_of(ended(six, Outcome.DIVERGED, "good", 5)) != evidence_of(gone)


def fill(open_ledger: Open, seeds: int) -> tuple[int, float]:
    """Run three cells with so many seeds; the look that is then taken, and its level."""
    cells = {1: 1.9, 2: 2.1, 4: 2.3}
    with open_ledger(seeds=seeds) as ledger:
        for claim in claims(ledger):
            n_head, seed = claim.config.model.n_head, claim.config.train.seed
            summary = run(0, "", seed, cells[n_head] + 0.001 * seed, n_steps=2000).summary
            ledger.settle(claim, Outcome.COMPLETE, facts={}, summary=summary)
        found = look_at(ledger, "val_bits_per_byte")
        assert len(ledger.looks) == found.rule.look - (not found.can_judge)
    return found.rule.look, found.rule.level


def test_a_later_command_pays_for_the_looks_of_the_earlier_ones(open_ledger: Open) -> None:
    assert fill(open_ledger, 3)[0] == 1  # too few seeds for a verdict: no look
    assert fill(open_ledger, 4)[0] == 1
    assert fill(open_ledger, 5) == (1, pytest.approx(0.01 / 2))
    assert fill(open_ledger, 5) == (1, pytest.approx(0.01 / 2))  # shown again
    assert fill(open_ledger, 8) == (2, pytest.approx(0.01 / 6))
    assert fill(open_ledger, 12) == (3, pytest.approx(0.01 / 12))
    assert fill(open_ledger, 12) == (3, pytest.approx(0.01 / 12))


def test_interval_and_what_would_be_found_are_of_the_look_s_own_level() -> None:
    merits = {
        "one": {0: 2.0, 1: 2.1, 2: 1.9, 3: 2.05, 4: 1.95},
        "other": {0: 1.2, 1: 0.7, 2: 1.1, 3: 0.6, 4: 1.4},
        "third": dict.fromkeys(range(5), 1.0),
    }
    alone = compare_cells(merits, Rule(alpha=0.01))["one", "third"]
    first = compare_cells(merits, Rule(alpha=0.01, look=1))["one", "third"]
    half = compare_cells(merits, Rule(alpha=0.005))["one", "third"]

    assert first.interval == half.interval != alone.interval
    assert first.detectable == half.detectable > alone.detectable
    assert first.interval == first.differences.interval(0.005)


def test_among_many_comparisons_a_verdict_takes_the_look_s_own_level_too() -> None:
    """The interval is beyond any doubt, and Holm's correction leaves p at 0.008."""
    alone = CellComparison(
        differences=PairedDifferences(values=(1.0, 1.01, 0.99, 1.0, 1.02)),
        p_adjusted=0.008,
        n_comparisons=1000,
        floor=NoiseFloor(sd=0.01, n_cells=46),
        rule=Rule(alpha=0.01),
    )

    assert alone.verdict == "better"
    assert replace(alone, rule=Rule(alpha=0.01, look=1)).verdict == "undetermined"


def test_seeds_said_to_be_needed_are_those_of_the_next_look() -> None:
    """Undetermined now; so many more are needed as a look at a stricter level takes."""
    merits = {
        "one": {seed: 0.15 + 0.1 * math.sin(9 * seed) for seed in range(6)},
        "other": {seed: 0.1 * math.cos(7 * seed) for seed in range(6)},
    }
    now, later = (
        compare_cells(merits, Rule(alpha=0.01, look=look))["one", "other"] for look in (1, 2)
    )
    strict = compare_cells(merits, Rule(alpha=0.01 / 6))["one", "other"]

    assert now.seeds_needed == strict.seeds_needed
    assert now.seeds_needed is not None
    assert later.seeds_needed is not None
    assert later.seeds_needed > now.seeds_needed
