"""Each look at more runs is paid for, also by later commands; the same runs are one look."""

import math
from collections.abc import Sequence

import pytest
from boards import run
from ledgers import GRID, Open, claims

from bench.conclude.looks import as_looks, look_at, rule_of, standings_of
from bench.conclude.standings import Standings
from bench.conclude.stats import LOOKS, share_of_look, share_of_next
from bench.conclude.stats.spending import share_due
from bench.ledger.outcome import Outcome


def spend(*n_seeds: int) -> list[float]:
    """What looks at so many seeds spend, one after another."""
    spent: list[float] = []
    for n in n_seeds:
        spent.append(share_of_look(n, spent))
    return spent


@pytest.mark.parametrize(
    "looks", [LOOKS, (5,), range(2, 200), (*LOOKS, *range(13, 3000)), (4, 4, 4, 9), (2, 1_000_000)]
)
def test_all_looks_there_may_ever_be_spend_no_more_than_alpha(looks: Sequence[int]) -> None:
    assert 0 < math.fsum(spend(*looks)) < 1


def test_a_look_spends_what_is_due_by_its_seeds_whatever_was_looked_at_before() -> None:
    for n in (*LOOKS, 7, 24, 100):
        assert math.fsum(spend(*[m for m in LOOKS if m < n], n)) == pytest.approx(share_due(n))
        assert spend(n)[0] == pytest.approx(share_due(n))
    assert share_due(1) == 0
    assert share_due(24) == pytest.approx((1 + share_due(12)) / 2)  # half of what is left


def test_a_second_look_at_as_many_seeds_has_nothing_to_spend() -> None:
    assert spend(5, 5)[1] == 0
    assert spend(5, 4)[1] == 0


def test_two_of_unlike_studies_pay_as_if_a_race_had_gone_before() -> None:
    assert share_of_next(LOOKS[0]) == pytest.approx(spend(LOOKS[0])[0])
    assert share_of_next(12) == pytest.approx(spend(*LOOKS)[-1])


def fill(open_ledger: Open, seeds: int, but: int = 0) -> Standings:
    """Run three cells with so many seeds, all but some, and look."""
    cells = {1: 1.9, 2: 2.1, 4: 2.3}
    with open_ledger(seeds=seeds) as ledger:
        waiting = claims(ledger)
        for claim in waiting[: len(waiting) - but]:
            n_head, seed = claim.config.model.n_head, claim.config.train.seed
            summary = run(0, "", seed, cells[n_head] + 0.001 * seed, n_steps=2000).summary
            ledger.settle(claim, Outcome.COMPLETE, facts={}, summary=summary)
        if but:
            return standings_of(ledger, GRID)
        return look_at(ledger, GRID, seeds)


def test_a_later_command_pays_for_the_looks_of_the_earlier_ones(open_ledger: Open) -> None:
    def shares(found: Standings) -> list[float]:
        return [look.share for look in found.looks]

    first = fill(open_ledger, 2)
    assert shares(first) == pytest.approx([share_due(2)])
    assert shares(fill(open_ledger, 2)) == shares(first)  # shown again
    assert shares(fill(open_ledger, 8)) == pytest.approx(spend(2, 8))
    assert shares(fill(open_ledger, 5)) == pytest.approx(spend(2, 8))  # all of it was seen
    assert shares(fill(open_ledger, 12)) == pytest.approx(spend(2, 8, 12))


def test_what_was_stopped_on_its_way_to_a_look_is_looked_at_when_it_is_there(
    open_ledger: Open,
) -> None:
    before = fill(open_ledger, 2)
    stopped = fill(open_ledger, 5, but=4)

    assert len(stopped.complete) > len(before.complete)
    assert stopped.looks == before.looks
    assert stopped.verdicts == before.verdicts
    assert [look.n_seeds for look in fill(open_ledger, 5).looks] == [2, 5]


def test_the_verdicts_of_earlier_looks_come_out_of_the_ledger_as_they_were(
    open_ledger: Open,
) -> None:
    first = fill(open_ledger, 5)
    later = fill(open_ledger, 12)

    assert all(math.isfinite(lead.margin) for lead in first.leads.values())
    for cell, lead in first.leads.items():
        assert later.leads[cell].interval == lead.interval
        assert later.leads[cell].verdict == lead.verdict
    assert later.race.dropped == first.race.dropped
    assert set(first.race.dropped.values()) == {5}


def test_looks_as_an_earlier_version_kept_them_say_nothing() -> None:
    assert as_looks(["0123abcd"]) == []


def test_what_matters_is_the_metric_s_own_unless_a_study_says_another() -> None:
    assert rule_of("val_bits_per_byte").matters == 0.005
    assert rule_of("tokens_per_second").relative
    assert rule_of("tokens_per_second", 0.1).matters == 0.1
    assert rule_of("val_loss", alpha=0.05).alpha == 0.05
