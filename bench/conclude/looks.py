"""A look at a ledger: who leads by the runs that are there, and what it costs to have looked.

Each look at further runs is a further chance of a false difference, so it is paid for
(`bench.conclude.stats.spending`). A ledger keeps what its looks saw, so that a later command pays
for those of the earlier ones, and the same verdicts come out of the same runs for ever. The same
runs shown again are no further look.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from bench.conclude.standings import Standings
from bench.conclude.stats import Look, Rule
from bench.ledger.ledger import Ledger
from bench.metrics import MATTERS, RELATIVE, Metric
from bench.spec import Study


def rule_of(metric: Metric, matters: float | None = None, alpha: float | None = None) -> Rule:
    """The rule for a metric.

    Args:
        matters: smallest difference that matters, as a share; None: the metric's own.
        alpha: chance of any false difference, at all looks together; None: 1%.
    """
    rule = Rule(
        matters=MATTERS[metric] if matters is None else matters, relative=metric in RELATIVE
    )
    return rule if alpha is None else replace(rule, alpha=alpha)


def standings_of(ledger: Ledger, study: Study) -> Standings:
    """The standings at the looks that were taken; further runs count for means alone."""
    return Standings(
        entries=ledger.entries(),
        metric=study.metric,
        rule=rule_of(study.metric, study.matters),
        looks=as_looks(ledger.looks),
    )


def look_at(ledger: Ledger, study: Study, n_seeds: int) -> Standings:
    """The standings when all cells in the race have so many seeds: a further look at that."""
    standings = standings_of(ledger, study)
    look = standings.look_due(n_seeds)
    if look is None:
        return standings
    ledger.keep_look(asdict(look))
    return replace(standings, looks=[*standings.looks, look])


def as_looks(kept: Sequence[Any]) -> list[Look]:
    """Looks as a ledger keeps them; an earlier version kept digests, which say nothing now."""
    return [Look(**look) for look in kept if isinstance(look, dict)]
