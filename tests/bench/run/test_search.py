"""A search draws its points: so many, none run twice, the interrupted ones again."""

from dataclasses import replace
from itertools import islice
from pathlib import Path

import optuna
import pytest
from ledgers import BASE, SUMMARY, Open, claims, complete, heads
from optuna.trial import TrialState

from bench.ledger.journal import open_journal
from bench.ledger.outcome import Outcome
from bench.spec import MedianPruner, Search, Study, Trial
from gpt.config import RunConfig


def width(trial: Trial) -> RunConfig:
    """A search's space, half of which makes no config."""
    n_head = trial.suggest_int("n_head", 1, 100)
    dropout = trial.suggest_float("dropout", 0.0, 1.5)
    return replace(BASE, model=replace(BASE.model, n_head=1, n_embd=n_head, dropout=dropout))


SEARCH = Study(width, search=Search(n_trials=8))


def test_a_search_ends_after_its_trials_invalid_points_among_them(open_ledger: Open) -> None:
    with open_ledger(SEARCH) as ledger:
        assert ledger.n_left() == 8
        complete(ledger)
        runs, dropped = len(ledger.entries()), ledger.dropped()
    assert runs + len(dropped) == 8
    assert runs
    assert dropped
    assert all("dropout must be in [0.0, 1.0)" in point.reason for point in dropped)
    with open_ledger(SEARCH) as ledger:
        assert ledger.claim() is None
        assert ledger.dropped() == dropped


def test_a_search_runs_its_interrupted_points_again(open_ledger: Open) -> None:
    with open_ledger(SEARCH) as ledger:
        begun = [ledger.claim(), ledger.claim(), ledger.claim()]
        ledger.settle(begun[0], Outcome.COMPLETE, summary=SUMMARY)
        ledger.settle(begun[1], Outcome.INTERRUPTED, reason="stopped")
    with open_ledger(SEARCH) as ledger:
        again = [ledger.claim(), ledger.claim()]
        assert [claim.config for claim in again] == [claim.config for claim in begun[1:]]
        for claim in again:
            ledger.settle(claim, Outcome.COMPLETE, summary=SUMMARY)
        complete(ledger)
        assert len(ledger.entries()) + len(ledger.dropped()) == 8
        assert {entry.outcome for entry in ledger.entries()} == {Outcome.COMPLETE}


def test_a_search_killed_after_any_line_ends_after_its_trials(
    open_ledger: Open, ledger_path: Path
) -> None:
    study = replace(SEARCH, search=Search(n_trials=3))
    with open_ledger(study) as ledger:
        complete(ledger)
    lines = ledger_path.read_bytes().splitlines(keepends=True)
    for i in range(0, len(lines) + 1):
        ledger_path.write_bytes(b"".join(lines[:i]))
        with open_ledger(study) as ledger:
            complete(ledger)
            assert len(ledger.entries()) + len(ledger.dropped()) == 3
        with open_ledger(study) as ledger:
            assert ledger.n_left() == 0


def test_a_point_that_a_search_draws_again_is_not_run_again(open_ledger: Open) -> None:
    study = Study(heads, search=Search(n_trials=12))  # of three points
    with open_ledger(study) as ledger:
        done = complete(ledger)
        assert 1 <= len(done) == len(set(done)) <= 3
        assert len(ledger.entries()) == len(done)
        assert ledger.dropped() == []
    with open_ledger(study) as ledger:
        assert ledger.claim() is None


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.OUT_OF_MEMORY])
def test_a_search_whose_every_run_ends_badly_ends(open_ledger: Open, outcome: Outcome) -> None:
    """A point that is due again is left to the next command, not replaced by another."""
    study = Study(width_of_one, search=Search(n_trials=3))
    for _ in range(2):
        with open_ledger(study) as ledger:
            given = []
            while (claim := ledger.claim()) and len(given) < 9:
                ledger.settle(claim, outcome, reason="no luck")
                given.append(claim.config.key)
            assert len(given) == len(set(given)) == 3
    with open_ledger(replace(study, search=Search(n_trials=5))) as ledger:
        assert ledger.n_left() == 5  # more trials add to those that there are


def told(path: Path) -> list[tuple[TrialState, float | None]]:
    """What the sampler of a ledger's study is told of each trial."""
    study = optuna.load_study(study_name="ledger", storage=open_journal(path))
    return [(trial.state, trial.value) for trial in study.trials]


def test_a_point_under_way_is_given_to_nobody_else(open_ledger: Open) -> None:
    with open_ledger(Study(heads, search=Search(n_trials=12))) as ledger:  # of three points
        given = [claim.config.key for claim in islice(iter(ledger.claim, None), 12)]
    assert 1 <= len(given) == len(set(given)) <= 3


def test_the_sampler_is_told_the_study_s_metric_of_what_was_complete_and_no_other(
    open_ledger: Open, ledger_path: Path
) -> None:
    outcomes = [Outcome.COMPLETE, Outcome.PRUNED, Outcome.DIVERGED, Outcome.UNSOUND]
    study = Study(width_of_one, metric="val_loss", search=Search(n_trials=len(outcomes)))
    with open_ledger(study) as ledger:
        for outcome in outcomes:
            claim = ledger.claim()
            assert claim
            ledger.settle(claim, outcome, summary={"val_loss": 3.0, **SUMMARY})
    states = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.FAIL]
    assert told(ledger_path) == [
        (state, 3.0 if i == 0 else None) for i, state in enumerate(states)
    ]


def test_the_sampler_is_told_of_a_point_as_often_as_it_draws_it(
    open_ledger: Open, ledger_path: Path
) -> None:
    with open_ledger(Study(heads, search=Search(n_trials=12))) as ledger:
        complete(ledger)
    assert told(ledger_path) == [(TrialState.COMPLETE, SUMMARY["val_bits_per_byte"])] * 12


def test_a_search_takes_the_study_s_seed(open_ledger: Open) -> None:
    with open_ledger(replace(SEARCH, first_seed=7)) as ledger:
        assert {claim.config.train.seed for claim in claims(ledger)} == {7}


def test_a_pruner_sees_each_evaluation(open_ledger: Open) -> None:
    search = Search(n_trials=6, pruner=lambda: MedianPruner(n_startup_trials=2))
    with open_ledger(Study(width_of_one, search=search)) as ledger:
        verdicts = []
        for value in (1.0, 1.0, 5.0):
            claim = ledger.claim()
            assert claim
            verdicts.append(ledger.should_prune(claim, 1, value))
            outcome = Outcome.PRUNED if verdicts[-1] else Outcome.COMPLETE
            ledger.settle(claim, outcome, summary={"val_bits_per_byte": value})
        assert verdicts == [False, False, True]
        assert [entry.outcome for entry in ledger.entries()][-1] is Outcome.PRUNED


def width_of_one(trial: Trial) -> RunConfig:
    dropout = trial.suggest_float("dropout", 0.0, 0.9)
    return replace(BASE, model=replace(BASE.model, dropout=dropout))


def test_points_that_differ_past_the_sixth_digit_have_labels_of_their_own(
    open_ledger: Open,
) -> None:
    def cell(trial: Trial) -> RunConfig:
        dropout = trial.suggest_float("dropout", 0.5, 0.5 + 1e-9)
        return replace(BASE, model=replace(BASE.model, dropout=dropout))

    with open_ledger(Study(cell, search=Search(n_trials=4))) as ledger:
        complete(ledger)
        found = {entry.label: entry.config.model.dropout for entry in ledger.entries()}

    assert len(found) == 4
    [short, *others] = found
    assert short == "dropout 0.5"
    assert others == [f"dropout {found[label]!r}" for label in others]
