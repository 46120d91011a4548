"""The winner measured again: which cell, which seeds, which text, and what is said of it."""

from dataclasses import replace

import pytest

from bench.confirm import FRESH_SEED, confirmation, leading_cell, show_confirmation
from bench.grid import enumerate_grid
from bench.ledger import Entry
from bench.outcome import Outcome
from bench.plan import Plan
from bench.spec import FixedTrial, Search, Study, Trial, choose
from bench.standings import Standings
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
        seeds=study.seeds,
        looks=(study.seeds,),
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


def leads(plan: Plan, found: list[Entry]) -> int | None:
    """Layers of the leading cell."""
    metric = plan.study.metric
    cell = leading_cell(plan, Standings(entries=found, metric=metric))
    return cell.config.model.n_layer if cell else None


def test_the_best_mean_leads(plan: Plan) -> None:
    assert leads(plan, entries(plan, {1: [1.0, 3.0], 2: [1.9, 1.9]})) == 2


def test_a_failed_run_leaves_nothing_to_choose_from(plan: Plan) -> None:
    found = entries(plan, {1: [1.0], 2: [1.9]})
    assert leads(plan, found) == 1
    assert leads(plan, [replace(found[0], outcome=Outcome.FAILED), found[1]]) is None


def test_a_search_and_a_corpus_without_a_test_part_confirm_nothing(plan: Plan) -> None:
    found = entries(plan, {1: [1.0, 1.0], 2: [1.9, 1.9]})
    search = replace(plan, study=Study(by_layers, search=Search(n_trials=1)))
    assert leads(search, found) is None
    bare = plan_of(Study(lambda trial: by_layers(trial).replace(corpus=CorpusConfig()), seeds=2))
    assert leads(bare, entries(bare, {1: [1.0, 1.0], 2: [1.9, 1.9]})) is None


def test_it_is_the_leader_on_fresh_seeds_and_the_test_part(plan: Plan) -> None:
    leader = plan.grid.cells[1]
    again = confirmation(plan, leader)
    config = again.study.cell(FixedTrial(dict(leader.params)))
    assert config.train.measure_test
    assert config.override({"measure_test": "False"}) == leader.config
    assert config.model.n_head == 2  # the overrides are in it
    assert again.study.first_seed == FRESH_SEED
    assert again.n_runs == 2
    assert again.ledger_name == f"{plan.ledger_name}.test-{leader.key}"


def test_both_numbers_are_said(plan: Plan) -> None:
    leader = plan.grid.cells[0]
    tested = confirmation(plan, leader).grid.cells[0].config
    found = entries(plan, {1: [1.0, 1.2], 2: [1.9, 1.9]})
    found += [
        entry(tested, FRESH_SEED, val_bits_per_byte=1.3, test_bits_per_byte=1.40),
        entry(tested, FRESH_SEED + 1, val_bits_per_byte=1.5, test_bits_per_byte=1.44),
    ]
    assert show_confirmation(plan, leader, found) == (
        "Best of 2 on the validation part: n_layer 1, 1.100 bits/byte. "
        "With 2 fresh seeds: 1.400 there, and 1.420 ± 0.020 on the test part."
    )
