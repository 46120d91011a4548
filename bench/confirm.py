"""Was the best of many really that good? Measure it again, on text that nobody chose it by.

The lowest of many numbers is low by luck too. So the leader of a sweep is trained anew, on seeds
that the sweep did not use, and measured on the test part, which no run of the sweep has seen. Both
numbers are shown.
"""

import dataclasses
import statistics
from collections.abc import Sequence

from bench.grid import Cell, Grid
from bench.ledger import Entry
from bench.outcome import Outcome
from bench.plan import Plan
from bench.spec import Study, Trial, choose
from bench.standings import Standings
from gpt.config import RunConfig

FRESH_SEED = 1_000_000
"""No sweep counts this far."""


def leading_cell(plan: Plan, standings: Standings) -> Cell | None:
    """The cell that leads, if there is something to confirm: a ranking, and a test part."""
    if plan.study.search or standings.metric != "val_bits_per_byte" or not standings.leads:
        return None
    best = next(cell for cell in plan.grid.cells if cell.label == standings.order[0])
    return best if best.config.corpus.test_fraction else None


def confirmation(plan: Plan, leader: Cell) -> Plan:
    """The plan of one cell, on fresh seeds, that is measured on the test part."""
    config = leader.config.replace(
        train=dataclasses.replace(leader.config.train, measure_test=True)
    )

    def cell(trial: Trial) -> RunConfig:
        for name, value in leader.params.items():
            choose(trial, name, [value])  # so that the ledger keeps the leader's choices
        return config

    return dataclasses.replace(
        plan,
        part=f"test-{leader.key}",
        study=Study(cell, seeds=plan.seeds, first_seed=FRESH_SEED),
        grid=Grid(
            cells=[
                Cell(params=leader.params, config=config, label=f"{leader.label} (confirmation)")
            ],
            dropped=[],
        ),
    )


def show_confirmation(plan: Plan, leader: Cell, entries: Sequence[Entry]) -> str:
    """The sweep's number of the leader beside the test's, in a sentence."""
    sweep = [
        entry.summary["val_bits_per_byte"]
        for entry in entries
        if entry.config.cell_key == leader.key and entry.outcome is Outcome.COMPLETE
    ]
    again = [
        entry.summary
        for entry in entries
        if entry.config.train.measure_test and entry.outcome is Outcome.COMPLETE
    ]
    if not again:
        return f"The best, {leader.label}, could not be measured on the test part."
    test = [summary["test_bits_per_byte"] for summary in again]
    val = statistics.mean(summary["val_bits_per_byte"] for summary in again)
    return (
        f"Best of {len(plan.grid.cells)} on the validation part: {leader.label}, "
        f"{statistics.mean(sweep):.3f} bits/byte. With {len(again)} fresh seeds: {val:.3f} there, "
        f"and {statistics.mean(test):.3f} ± {(max(test) - min(test)) / 2:.3f} on the test part."
    )
