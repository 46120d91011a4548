"""Each run is given out once, and again only where that is due: the ledger, without training."""

from dataclasses import replace
from pathlib import Path

import pytest
from ledgers import (
    ALL,
    GRID,
    IDENTITY,
    SUMMARY,
    Open,
    claims,
    complete,
    heads,
    heads_of,
    name,
)

from bench.cells.grid import Cell, enumerate_grid
from bench.ledger.attempts import MAX_ATTEMPTS
from bench.ledger.ledger import Ledger
from bench.ledger.outcome import Outcome
from bench.spec import Study, Trial
from gpt.config import RunConfig
from gpt.errors import ConfigError


def test_rule_11_missing_runs_are_given_out_there_and_back_and_once(open_ledger: Open) -> None:
    with open_ledger() as ledger:
        assert ledger.n_left() == 6
        given = claims(ledger)
        assert [name(claim) for claim in given] == ALL
        assert len({claim.name for claim in given}) == 6
        assert ledger.n_left() == 0


def test_a_claim_carries_the_whole_config(open_ledger: Open) -> None:
    cells: dict[str, Cell] = {cell.key: cell for cell in enumerate_grid(GRID, {}).cells}
    with open_ledger() as ledger:
        for claim in claims(ledger):
            cell = cells[claim.config.cell_key]
            assert claim.config == cell.config.with_seed(claim.config.train.seed)
            assert claim.label == cell.label


def test_what_is_settled_is_not_run_again(open_ledger: Open) -> None:
    settled = [o for o in Outcome if o.settled]
    with open_ledger() as ledger:
        for outcome in settled:
            claim = ledger.claim()
            assert claim
            ledger.settle(claim, outcome, reason="why", facts={"a": 1}, summary=SUMMARY)
    with open_ledger() as ledger:
        assert [name(claim) for claim in claims(ledger)] == ALL[len(settled) :]
        entries = ledger.entries()[: len(settled)]
        assert [entry.outcome for entry in entries] == settled
        assert [name(entry) for entry in entries] == ALL[: len(settled)]
        assert {(e.reason, e.facts["a"], e.summary["val_bits_per_byte"]) for e in entries} == {
            ("why", 1, 2.0)
        }


def test_what_was_interrupted_is_run_again(open_ledger: Open) -> None:
    for _ in range(MAX_ATTEMPTS + 1):  # however often
        with open_ledger() as ledger:
            first = ledger.claim()
            assert first
            assert name(first) == "1/0"
            ledger.settle(first, Outcome.INTERRUPTED, reason="stopped")
    with open_ledger() as ledger:
        assert complete(ledger) == ALL
        assert [entry.outcome for entry in ledger.entries()] == [Outcome.COMPLETE] * 6


def test_interrupted_are_those_that_were_stopped_and_no_others(open_ledger: Open) -> None:
    with open_ledger() as ledger:
        names = {}
        for outcome in (Outcome.INTERRUPTED, Outcome.FAILED, Outcome.DIVERGED, Outcome.COMPLETE):
            claim = ledger.claim()
            assert claim
            ledger.settle(claim, outcome, summary=SUMMARY)
            names[outcome] = claim.name
        assert ledger.interrupted() == {names[Outcome.INTERRUPTED]}


def test_seeds_count_from_the_study_s_first(open_ledger: Open) -> None:
    with open_ledger(replace(heads_of(1, 2, seeds=2), first_seed=5)) as ledger:
        assert [name(claim) for claim in claims(ledger)] == ["2/5", "1/5", "1/6", "2/6"]


def test_what_a_killed_launch_was_at_is_run_again(open_ledger: Open) -> None:
    with open_ledger() as ledger:
        assert len([ledger.claim(), ledger.claim()]) == 2  # and no word on them
    with open_ledger() as ledger:
        assert {entry.outcome for entry in ledger.entries()} == {Outcome.INTERRUPTED}
        assert complete(ledger) == ALL


def test_what_was_out_of_memory_is_tried_again_by_each_next_command(open_ledger: Open) -> None:
    """Memory may have been short for somebody else's sake."""
    for _ in range(MAX_ATTEMPTS + 1):
        with open_ledger() as ledger:
            first = ledger.claim()
            assert first
            assert name(first) == "1/0"
            ledger.settle(first, Outcome.OUT_OF_MEMORY, reason="no memory")
            rest = [name(claim) for claim in claims(ledger)]
            assert "1/0" not in rest  # not in the same launch
    with open_ledger() as ledger:
        assert complete(ledger) == ALL


def test_what_fails_is_tried_a_bounded_number_of_times(open_ledger: Open) -> None:
    study = replace(GRID, seeds=1)
    for attempt in range(1, MAX_ATTEMPTS + 2):
        with open_ledger(study) as ledger:
            given = claims(ledger)
            for claim in given:
                bad = claim.config.model.n_head == 2
                ledger.settle(
                    claim,
                    Outcome.FAILED if bad else Outcome.COMPLETE,
                    reason=f"try {attempt}",
                    summary=None if bad else SUMMARY,
                )
            expected = ["1/0", "2/0", "4/0"] if attempt == 1 else ["2/0"]
            assert [name(claim) for claim in given] == expected * (attempt <= MAX_ATTEMPTS)
    with open_ledger(study) as ledger:
        reasons = {name(entry): (entry.outcome, entry.reason) for entry in ledger.entries()}
        assert reasons["2/0"] == (Outcome.FAILED, f"try {MAX_ATTEMPTS}")


def test_within_a_launch_a_retry_comes_last_and_is_bounded(open_ledger: Open) -> None:
    order, retried = [], []
    with open_ledger(replace(GRID, seeds=1)) as ledger:
        while claim := ledger.claim():
            order.append(name(claim))
            if claim.config.model.n_head == 2:
                ledger.settle(claim, Outcome.FAILED, reason="killed")
                retried.append(ledger.retry(claim))
            else:
                ledger.settle(claim, Outcome.COMPLETE, summary=SUMMARY)

    assert order == ["1/0", "2/0", "4/0", "2/0", "2/0"]
    assert retried == [True] * (MAX_ATTEMPTS - 1) + [False]


@pytest.mark.parametrize("changed", IDENTITY)
def test_another_text_or_code_is_refused_in_words(open_ledger: Open, changed: str) -> None:
    with open_ledger() as ledger:
        complete(ledger)
    was = IDENTITY[changed]
    with (
        pytest.raises(ConfigError, match=rf"but the {changed} changed .* \({was} then, new now\)"),
        open_ledger(identity=IDENTITY | {changed: "new"}),
    ):
        pass
    with open_ledger() as ledger:  # the old one is as it was
        assert ledger.n_left() == 0


def test_a_further_text_is_none_of_those_that_changed(open_ledger: Open) -> None:
    """A grid that grows may bring texts; they too are held to what they were."""
    with open_ledger() as ledger:
        complete(ledger)
    with open_ledger(identity=IDENTITY | {"text b": "ddd"}) as ledger:
        assert ledger.n_left() == 0
    with open_ledger():  # a grid without it forgets nothing of it
        pass
    with open_ledger(identity=IDENTITY | {"text c": "fff"}):
        pass
    with (
        pytest.raises(ConfigError, match="the text b changed"),
        open_ledger(identity=IDENTITY | {"text b": "eee"}),
    ):
        pass


def test_a_grid_that_changes_keeps_what_is_complete_and_runs_what_is_new(
    open_ledger: Open,
) -> None:
    """Also where Optuna would not have the choices of one name changed."""
    with open_ledger(heads_of(1, 2, seeds=2)) as ledger:
        complete(ledger)
        assert ledger.changes() == ""
        first = ledger.entries()
    with open_ledger(heads_of(1, 2, 4, seeds=2)) as ledger:
        assert ledger.changes() == "The grid has changed: n_head 4 new."
        assert complete(ledger) == ["4/0", "4/1"]
        assert ledger.entries()[: len(first)] == first
    with open_ledger(heads_of(4, 1, seeds=2)) as ledger:
        assert ledger.changes() == (
            "The grid has changed: n_head 2 left out (2 runs, kept in the ledger and in MLflow)."
        )
        assert complete(ledger) == []
        assert {name(entry) for entry in ledger.entries()} == {"1/0", "1/1", "4/0", "4/1"}
    with open_ledger(heads_of(1, 2, seeds=2)) as ledger:  # what was left out is not lost
        assert complete(ledger) == []
        assert {name(entry) for entry in ledger.entries()} == {"1/0", "1/1", "2/0", "2/1"}


def test_what_reads_a_ledger_sees_the_grid_as_it_is_now(
    open_ledger: Open, ledger_path: Path
) -> None:
    for n_heads in ((1, 2), (2, 4)):
        with open_ledger(heads_of(*n_heads)) as ledger:
            complete(ledger)
    assert [name(entry) for entry in Ledger.read(ledger_path).entries] == ["2/0", "4/0"]


def test_a_cell_goes_by_its_name_of_now(open_ledger: Open, ledger_path: Path) -> None:
    """A grid that grows may need longer names for the cells that it had."""

    def renamed(trial: Trial) -> RunConfig:
        trial.suggest_categorical("also", ["x"])
        return heads(trial)

    with open_ledger(replace(GRID, seeds=1)) as ledger:
        complete(ledger)
    with open_ledger(Study(renamed)) as ledger:
        assert [entry.label for entry in ledger.entries()] == ["x 1", "x 2", "x 4"]
    assert [entry.label for entry in Ledger.read(ledger_path).entries] == ["x 1", "x 2", "x 4"]


def test_more_seeds_add_runs_and_fewer_take_none_away(open_ledger: Open) -> None:
    with open_ledger(seeds=1) as ledger:
        assert complete(ledger) == ALL[:3]
    with open_ledger(seeds=2) as ledger:
        assert complete(ledger) == ALL[3:]
    with open_ledger(seeds=1) as ledger:
        assert complete(ledger) == []
        assert len(ledger.entries()) == 6


def test_runs_queued_for_more_seeds_are_not_run_for_fewer(open_ledger: Open) -> None:
    with open_ledger(seeds=2):
        pass  # stopped at once
    with open_ledger(seeds=1) as ledger:
        assert complete(ledger) == ALL[:3]


def test_a_grid_is_never_pruned(open_ledger: Open) -> None:
    with open_ledger() as ledger:
        claim = ledger.claim()
        assert claim
        assert not ledger.should_prune(claim, 1, 1e9)
