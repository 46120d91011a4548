"""A walk comes to the points that Optuna itself enumerates, and calls `cell` once for each."""

import subprocess
import sys
import warnings
from dataclasses import replace
from typing import Any

import optuna
import pytest

from bench.cells import space
from bench.cells.checked_trial import StudyError
from bench.cells.space import draw, walk
from bench.spec import Study, Trial, choose
from gpt.config import RunConfig

BASE = RunConfig()


def conditional(trial: Trial) -> RunConfig:
    """Unlike questions on unlike ways, and one whose range hangs on an answer."""
    kind = choose(trial, "kind", ["a", "b", None])
    if kind == "a":
        trial.suggest_float("x", 0.1, 0.5, step=0.1)
    elif kind == "b" and choose(trial, "deep", [True, False]):
        n = trial.suggest_int("n", 2, 8, step=3)
        trial.suggest_int("m", 1, n)
    trial.suggest_int("last", 1, 2, log=True)
    return BASE


def test_it_finds_what_optuna_s_brute_force_finds() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.BruteForceSampler(seed=0, avoid_premature_stop=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    oracle = optuna.create_study(sampler=sampler)
    oracle.optimize(lambda trial: conditional(trial).train.seed)
    points = [point.params for point in walk(Study(conditional))]

    assert sorted(map(repr, points)) == sorted(repr(trial.params) for trial in oracle.trials)
    assert len(points) == 44
    assert points[:2] == [{"kind": "a", "x": 0.1, "last": last} for last in (1, 2)]
    assert points[4]["x"] == 0.3  # as it is written, not 0.30000000000000004
    assert points[-1] == {"kind": None, "last": 2}


def test_it_is_the_same_without_asserts() -> None:
    """Under `python -O` the sampler of Optuna 5.0 lacks names that its asserts bind."""
    program = (
        "from bench.cells.catalog import find_study; from bench.cells.grid import cells_of\n"
        "grid = cells_of(find_study('smoke').load(), {})\n"
        "print(__debug__, *(cell.label for cell in grid.cells))"
    )
    command = [sys.executable, "-O", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "char", "bpe"]


def test_it_calls_a_cell_once_a_point() -> None:
    """So the time of a plan grows with the grid, not with its square."""
    calls = []

    def cell(trial: Trial) -> RunConfig:
        calls.append([trial.suggest_int(name, 1, 5) for name in "abcd"])
        return BASE

    assert len(list(walk(Study(cell)))) == len(calls) == 5**4
    assert sorted(calls) == calls


def test_a_list_of_choices_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    keep = space.CategoricalDistribution.__init__

    def count(self: Any, choices: Any) -> None:
        looked.append(choices)
        keep(self, choices)

    monkeypatch.setattr(space.CategoricalDistribution, "__init__", count)

    def cell(trial: Trial) -> RunConfig:
        choose(trial, "n", list(range(50)))
        return BASE

    assert len(list(walk(Study(cell)))) == 50
    assert len(looked) == 1


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (lambda t: t.suggest_float("lr", 0.1, 1.0), "a grid is finite but 'lr' has no step"),
        (lambda t: t.suggest_float("lr", 0.1, 1.0, log=True), "'lr' has no step"),
        (lambda t: t.suggest_int("n", 1, 1_000_000), "100,000 points but this one has more"),
        (lambda t: t.suggest_float("x", 0, 1, step=1e-9), "100,000 points but this one has more"),
        (lambda t: (choose(t, "a", [1, 2]), choose(t, "a", [1, 3])), "dynamic value space"),
        (lambda t: (t.suggest_int("a", 1, 2), t.suggest_int("a", 1, 3)), "'a' is asked for twice"),
        (
            lambda t: choose(t, "b", [1, 2] if choose(t, "a", [1, 2]) == 1 else [3, 4]),
            "dynamic value space",
        ),
    ],
)
def test_a_space_that_is_no_grid_is_refused(
    question: Any, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "MAX_POINTS", 10)

    def cell(trial: Trial) -> RunConfig:
        question(trial)
        return BASE

    with pytest.raises(StudyError, match=says):
        list(walk(Study(cell)))


def test_a_cell_that_asks_otherwise_the_next_time_is_refused() -> None:
    asked = []

    def cell(trial: Trial) -> RunConfig:
        asked.append(0)
        for name in "abc"[: 3 if len(asked) == 1 else 1]:
            choose(trial, name, [1, 2])
        return BASE

    with pytest.raises(StudyError, match="must ask the same"):
        list(walk(Study(cell)))


def test_a_name_asked_for_again_has_its_answer() -> None:
    def cell(trial: Trial) -> RunConfig:
        assert choose(trial, "n", [1, 2]) == choose(trial, "n", [1, 2])
        return BASE

    assert [point.params for point in walk(Study(cell))] == [{"n": 1}, {"n": 2}]


def test_draws_are_the_same_each_time_and_as_many_as_asked_for() -> None:
    def cell(trial: Trial) -> RunConfig:
        return replace(BASE, train=replace(BASE.train, batch_size=trial.suggest_int("b", 1, 99)))

    one, other = (list(draw(Study(cell), 5)) for _ in range(2))
    assert one == other
    assert len(one) == 5
    assert [point.params["b"] for point in one] == [point.config.train.batch_size for point in one]
