"""Each run is given out once, and again only where that is due: the ledger, without training."""

from dataclasses import replace

import pytest
from ledgers import ALL, GRID, IDENTITY, SUMMARY, Open, claims, complete, name

from bench.attempts import MAX_ATTEMPTS
from bench.grid import Cell, enumerate_grid
from bench.outcome import Outcome
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


def test_what_a_killed_launch_was_at_is_run_again(open_ledger: Open) -> None:
    with open_ledger() as ledger:
        assert len([ledger.claim(), ledger.claim()]) == 2  # and no word on them
    with open_ledger() as ledger:
        assert {entry.outcome for entry in ledger.entries()} == {Outcome.INTERRUPTED}
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
def test_another_grid_corpus_or_code_is_refused_and_named(open_ledger: Open, changed: str) -> None:
    with open_ledger() as ledger:
        complete(ledger)
    was = IDENTITY[changed]
    with (
        pytest.raises(ConfigError, match=f"but {changed} was {was} and is new; --fresh"),
        open_ledger(identity=IDENTITY | {changed: "new"}),
    ):
        pass
    with open_ledger() as ledger:  # the old one is as it was
        assert ledger.n_left() == 0


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
