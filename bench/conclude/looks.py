"""How often was a ledger looked at? Each look at further runs is a further chance of a false
difference, so the chance that a rule allows is shared out among all looks, for ever: the k-th
gets a k(k + 1)-th of it, and all together never more than the whole. A ledger keeps its looks, so
a later command pays for those of the earlier ones.

A look is a board that could have named a winner. The same runs shown again are no further look.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bench.conclude.standings import RULED_OUT, Standings
from bench.conclude.stats import Rule
from bench.ledger.ledger import Entry, Ledger
from bench.ledger.outcome import Outcome
from bench.metrics import Metric
from bench.system.identity import digest_of


def look_at(ledger: Ledger, metric: Metric) -> Standings:
    """The standings of a ledger, at what is left of the chance of a false difference."""
    entries = ledger.entries()
    rule = rule_at(ledger.looks, entries)
    standings = Standings(entries=entries, metric=metric, rule=rule)
    if standings.can_judge:
        ledger.keep_look(evidence_of(entries))
    return standings


def rule_at(looks: Sequence[str], entries: Iterable[Entry], alpha: float | None = None) -> Rule:
    """The rule for these runs: that of the look at which they were seen, or of the next one.

    Args:
        looks: what was seen so far, as `evidence_of` names it.
        alpha: chance of any false difference at all looks together.
    """
    seen = evidence_of(entries)
    look = looks.index(seen) if seen in looks else len(looks)
    rule = Rule() if alpha is None else Rule(alpha=alpha)
    return replace(rule, look=look + 1)


def evidence_of(entries: Iterable[Entry]) -> str:
    """A name of the runs that verdicts rest on, which changes with each further one."""
    counted = (e for e in entries if e.outcome in (Outcome.COMPLETE, *RULED_OUT))
    return digest_of(*sorted(f"{e.cell} {e.config.train.seed} {e.outcome}" for e in counted))
