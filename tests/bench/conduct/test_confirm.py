"""The winner measured again: which cell, which seeds, which text, and what is said of it."""

from dataclasses import replace

import pytest

from bench.cells.grid import Cell, enumerate_grid
from bench.conclude.looks import rule_of
from bench.conclude.standings import Standings
from bench.conduct.confirmation import confirmation, leading_cell, show_confirmation
from bench.ledger.ledger import Entry
from bench.ledger.outcome import Outcome
from bench.plan.plan import Plan
from bench.spec import FixedTrial, Search, Study, Trial, choose
from gpt.config import CorpusConfig, RunConfig

BASE = RunConfig(corpus=CorpusConfig(test_fraction=0.1))


def by_layers(trial: Trial) -> RunConfig:
    n_layer = choose(trial, "n_layer", [1, 2])
    return BASE.replace(model=replace(BASE.model, n_layer=n_layer))


def plan_of(study: Study) -> Plan:
    return Plan(
        name="depth",
        description="",
        study=study,
        looks=(2,),
        overrides={"n_head": "2"},
        grid=enumerate_grid(study, {"n_head": "2"}),
    )


@pytest.fixture
def plan() -> Plan:
    return plan_of(Study(by_layers, seeds=2))


def entry(config: RunConfig, seed: int, **summary: float) -> Entry:
    return Entry(
        label=f"n_layer {config.model.n_layer}",
        config=config.with_seed(seed),
        outcome=Outcome.COMPLETE,
        reason="",
        summary={"n_steps": 10, **summary},
        facts={},
    )


def entries(plan: Plan, values: dict[int, list[float]]) -> list[Entry]:
    return [
        entry(cell.config, seed, val_bits_per_byte=value)
        for cell in plan.grid.cells
        for seed, value in enumerate(values[cell.config.model.n_layer])
    ]


def standings(plan: Plan, found: list[Entry]) -> Standings:
    metric = plan.study.metric
    return Standings(entries=found, metric=metric, rule=rule_of(metric))


def again_of(plan: Plan, leader: Cell, n_seeds: int = 2) -> Plan:
    """The confirmation of a cell that has so many seeds."""
    found = [entry(leader.config, seed, val_bits_per_byte=1.0 + seed) for seed in range(n_seeds)]
    return confirmation(plan, leader, standings(plan, found))


def leads(plan: Plan, found: list[Entry]) -> int | None:
    """Layers of the leading cell."""
    cell = leading_cell(plan, standings(plan, found))
    return cell.config.model.n_layer if cell else None


def test_the_best_mean_leads(plan: Plan) -> None:
    assert leads(plan, entries(plan, {1: [1.0, 3.0], 2: [1.9, 1.9]})) == 2


def test_a_failed_run_leaves_nothing_to_choose_from(plan: Plan) -> None:
    found = entries(plan, {1: [1.0], 2: [1.9]})
    assert leads(plan, found) == 1
    assert leads(plan, [replace(found[0], outcome=Outcome.FAILED), found[1]]) is None


def test_a_search_another_metric_and_no_test_part_confirm_nothing(plan: Plan) -> None:
    found = entries(plan, {1: [1.0, 1.0], 2: [1.9, 1.9]})
    search = replace(plan, study=Study(by_layers, search=Search(n_trials=1)))
    assert leads(search, found) is None  # its finals are a grid, and are confirmed
    by_loss = replace(plan, study=Study(by_layers, seeds=2, metric="val_loss"))
    lossy = [replace(e, summary={**e.summary, "val_loss": 2.0 + i}) for i, e in enumerate(found)]
    assert leads(by_loss, lossy) is None  # the test part is measured in bits per byte
    bare = plan_of(Study(lambda trial: by_layers(trial).replace(corpus=CorpusConfig()), seeds=2))
    assert leads(bare, entries(bare, {1: [1.0, 1.0], 2: [1.9, 1.9]})) is None


def test_it_is_the_leader_on_fresh_seeds_and_the_test_part(plan: Plan) -> None:
    leader = plan.grid.cells[1]
    again = again_of(plan, leader)
    config = again.study.cell(FixedTrial(dict(leader.params)))
    assert config.train.measure_test
    assert config.override({"measure_test": "False"}) == leader.config
    assert config.model.n_head == 2  # the overrides are in it
    assert again.n_runs == 2
    assert again.ledger_name == f"{plan.ledger_name}.test-{leader.key}"


@pytest.mark.parametrize("first_seed", [0, 7, 1_000_000, 2_000_000_000])
def test_no_fresh_seed_was_one_of_the_sweep_s(first_seed: int) -> None:
    plan = plan_of(Study(by_layers, first_seed=first_seed))
    study = again_of(plan, plan.grid.cells[0], n_seeds=12).study

    assert study.seeds == 12
    fresh = set(range(study.first_seed, study.first_seed + 12))
    assert len(fresh) == 12
    assert fresh.isdisjoint(range(first_seed, first_seed + 1000))  # nor will be one of more


def test_its_runs_are_of_a_cell_of_their_own_by_key_and_by_name(plan: Plan) -> None:
    leader = plan.grid.cells[0]
    [cell] = again_of(plan, leader).grid.cells

    assert cell.key != leader.key
    assert cell.label == "n_layer 1 (confirmation)"


def confirmed(plan: Plan, *fresh: Entry, swept: list[float]) -> str:
    """What is said of the first cell."""
    found = entries(plan, {1: swept, 2: [1.9, 1.9]})
    return show_confirmation(plan, plan.grid.cells[0], found, fresh)


def fresh_run(cell: Cell, seed: int, **values: float) -> Entry:
    return entry(cell.config, 1_000_000 + seed, **values)


def test_both_numbers_are_said_with_their_standard_deviations(plan: Plan) -> None:
    [cell] = again_of(plan, plan.grid.cells[0]).grid.cells
    again = [
        fresh_run(cell, 0, val_bits_per_byte=1.3, test_bits_per_byte=1.40),
        fresh_run(cell, 1, val_bits_per_byte=1.5, test_bits_per_byte=1.44),
        fresh_run(cell, 2, val_bits_per_byte=1.4, test_bits_per_byte=1.45),
    ]
    assert confirmed(plan, *again, swept=[1.0, 1.2, 1.4]) == (
        "n_layer 1, the best of 2, may just have been lucky, so it was run again with 3 fresh "
        "seeds: 1.400 ±0.100 bits/byte (before 1.200 ±0.200), and 1.430 ±0.026 on the test part, "
        "text that no run of the sweep has seen."
    )


def test_one_seed_has_no_spread_and_what_is_missing_is_said(plan: Plan) -> None:
    [cell] = again_of(plan, plan.grid.cells[0]).grid.cells
    again = fresh_run(cell, 0, val_bits_per_byte=1.3, test_bits_per_byte=1.4)
    diverged = [replace(fresh_run(cell, seed), outcome=Outcome.DIVERGED) for seed in (1, 2)]

    assert confirmed(plan, again, *diverged, swept=[1.0]) == (
        "n_layer 1, the best of 2, may just have been lucky, so it was run again with 1 fresh "
        "seed (2 diverged): 1.300 bits/byte (before 1.000), and 1.400 on the test part, text that "
        "no run of the sweep has seen."
    )
    assert confirmed(plan, *diverged, swept=[1.0]) == (
        "The best, n_layer 1, could not be measured on the test part (2 diverged)."
    )


def test_a_study_whose_runs_are_measured_on_the_test_part_too_is_not_mixed_in() -> None:
    """The fresh runs are those of the confirmation, whatever the sweep has measured."""
    tested = Study(
        lambda trial: replace(by_layers(trial), train=replace(BASE.train, measure_test=True)),
        seeds=2,
    )
    plan = plan_of(tested)
    [cell] = again_of(plan, plan.grid.cells[0]).grid.cells
    again = fresh_run(cell, 0, val_bits_per_byte=1.3, test_bits_per_byte=1.4)

    said = confirmed(plan, again, swept=[1.0, 1.2])
    assert "with 1 fresh seed: 1.300 bits/byte (before 1.100 ±0.141)" in said
