"""Was the best of many really that good? Measure it again, on text that nobody chose it by.

The lowest of many numbers is low by luck too. So the leader of a sweep is trained anew, on seeds
that the sweep did not use, and measured on the test part, which no run of the sweep has seen. Both
numbers are shown.
"""

import dataclasses
import statistics
from collections import Counter
from collections.abc import Sequence

from bench.cells.grid import Cell, Grid
from bench.conclude.standings import Standings
from bench.ledger.ledger import Entry
from bench.ledger.outcome import Outcome
from bench.plan.plan import Plan
from bench.spec import MAX_SEEDS, Study

FRESH = MAX_SEEDS
"""The fresh seeds lie this far from those of the sweep: no sweep has as many."""


def leading_cell(plan: Plan, standings: Standings) -> Cell | None:
    """The cell that leads, if there is something to confirm: a ranking, and a test part."""
    if plan.study.search or standings.metric != "val_bits_per_byte" or not standings.leads:
        return None
    best = next(cell for cell in plan.grid.cells if cell.key == standings.order[0])
    return best if best.config.corpus.test_fraction else None


def confirmation(plan: Plan, leader: Cell, standings: Standings) -> Plan:
    """The plan of one cell, on as many fresh seeds as it had, that is measured on the test part.

    Its runs carry a name of their own, for whoever groups recorded runs by cell.
    """
    config = leader.config.replace(
        train=dataclasses.replace(leader.config.train, measure_test=True)
    )
    n_seeds = len(standings.merits[leader.key])
    cell = Cell(params=leader.params, config=config, label=f"{leader.label} (confirmation)")
    return dataclasses.replace(
        plan,
        part=f"test-{leader.key}",
        part_title="the best again, on the test part",
        looks=(n_seeds,),
        study=Study(
            lambda trial: config,  # noqa: ARG005
            seeds=n_seeds,
            first_seed=plan.study.first_seed + FRESH,
        ),
        grid=Grid(cells=[cell], dropped=[]),
    )


def show_confirmation(
    plan: Plan, leader: Cell, swept: Sequence[Entry], fresh: Sequence[Entry]
) -> str:
    """The sweep's number of the leader beside the test's, in a sentence.

    Args:
        swept: the sweep's runs.
        fresh: the confirmation's.
    """
    sweep = [
        entry.summary["val_bits_per_byte"]
        for entry in swept
        if entry.cell == leader.key and entry.outcome is Outcome.COMPLETE
    ]
    again = [entry.summary for entry in fresh if entry.outcome is Outcome.COMPLETE]
    missing = Counter(str(entry.outcome) for entry in fresh)
    missing.pop(str(Outcome.COMPLETE), None)
    lost = ", ".join(f"{n} {outcome}" for outcome, n in missing.items())
    if not again:
        why = f" ({lost})" if lost else ""
        return f"The best, {leader.label}, could not be measured on the test part{why}."
    n_seeds = f"{len(again)} fresh seed{'s' * (len(again) != 1)}" + (f" ({lost})" if lost else "")
    val = [summary["val_bits_per_byte"] for summary in again]
    test = [summary["test_bits_per_byte"] for summary in again]
    return (
        f"{leader.label}, the best of {len(plan.grid.cells)}, may just have been lucky, so it was "
        f"run again with {n_seeds}: {_mean_and_spread(val)} bits/byte (before "
        f"{_mean_and_spread(sweep)}), and {_mean_and_spread(test)} on the test part, text that no "
        "run of the sweep has seen."
    )


def say_tested(fresh: Sequence[Entry]) -> str:
    """What the test part gave, as short as a table wants it; "" if nothing was measured."""
    test = [e.summary["test_bits_per_byte"] for e in fresh if e.outcome is Outcome.COMPLETE]
    return f"{_mean_and_spread(test)} on the test part" if test else ""


def _mean_and_spread(values: Sequence[float]) -> str:
    """The mean, and after a ± the standard deviation, which one value doesn't have."""
    spread = f" ±{statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"
