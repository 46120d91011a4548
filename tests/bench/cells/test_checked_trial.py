"""What a study asks is checked where it asks it, and its answers can be kept."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.cells.checked_trial import StudyError
from bench.cells.grid import cells_of
from bench.spec import FixedTrial, Search, Study, Trial, choose
from gpt.config import Budget, RunConfig
from gpt.errors import ConfigError

BASE = RunConfig()


def asks(question: Any, **options: Any) -> Study:
    def cell(trial: Trial) -> RunConfig:
        question(trial)
        return BASE

    return Study(cell, **options)


@pytest.mark.parametrize("search", [None, Search(n_trials=3)], ids=["grid", "search"])
@pytest.mark.parametrize(
    ("question", "says"),
    [
        (lambda t: choose(t, "width", [16, 32, 16]), "'width' must differ but 16 and 16 are"),
        (lambda t: choose(t, "bias", [0, 1, True]), "'bias' must differ but 1 and True are"),
        (lambda t: choose(t, "lr", [1, 2, 1.0]), "'lr' must differ but 1 and 1.0 are equal"),
        (lambda t: choose(t, "at", [[1], [1]]), r"'at' must differ but \[1\] and \[1\] are"),
        (lambda t: choose(t, "seed", [1, 2]), "can't vary 'seed'.*seeds=3"),
        (lambda t: t.suggest_int("seed", 1, 2), "can't vary 'seed'"),
        (lambda t: choose(t, "kernel", "sdpa"), "must be a list but got the str 'sdpa'"),
        (lambda t: choose(t, "kernel", {"a", "b"}), "must be a list but got the set"),
        (lambda t: choose(t, "f", [len, max]), "a choice must be .* keys of a dict"),
        (lambda t: choose(t, "f", [float("nan")]), "a choice must be .* but 'f' has nan"),
        (lambda t: choose(t, 5, [1, 2]), "must have a name but got 5"),
        (lambda t: t.suggest_int("n", 1, 2.5), "'n' must be numbers but got 2.5"),
        (lambda t: t.suggest_int("n", True, 3), "'n' must be numbers but got True"),
        (lambda t: t.suggest_float("x", "0", 1), "'x' must be numbers but got '0'"),
        (lambda t: t.number, "AttributeError"),
    ],
)
def test_what_can_not_be_kept_is_refused_with_its_line(
    question: Any, says: str, search: Search | None
) -> None:
    with pytest.raises(StudyError, match=rf"test_checked_trial.py:\d+: .*{says}"):
        cells_of(asks(question, search=search), {})


@pytest.mark.parametrize(
    ("choices", "kept", "got"),
    [
        ([np.int64(2), np.float64(0.5)], [2, 0.5], [2, 0.5]),
        (np.array([1, 2]), [1, 2], [1, 2]),
        ([(1, 2), (2, 4)], ["(1, 2)", "(2, 4)"], [(1, 2), (2, 4)]),
        ([[1], ["a", None]], ["[1]", "['a', None]"], [[1], ["a", None]]),
        (range(1, 3), [1, 2], [1, 2]),
        ({"a": 1, "b": 2}, ["a", "b"], ["a", "b"]),
    ],
)
def test_choices_are_kept_in_plain_form_and_given_back_as_they_were(
    choices: Any, kept: list[Any], got: list[Any]
) -> None:
    answers = []

    def cell(trial: Trial) -> RunConfig:
        answers.append(choose(trial, "x", choices))
        return replace(BASE, train=replace(BASE.train, batch_size=len(answers)))

    study = Study(cell)
    cells = cells_of(study, {}).cells

    assert [cell.params for cell in cells] == [{"x": value} for value in kept]
    assert [type(cell.params["x"]) for cell in cells] == [type(value) for value in kept]
    assert answers == got
    study.config(FixedTrial(cells[-1].params))  # as a launch asks again
    assert answers[-1] == got[-1]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda n: replace(BASE, model=replace(BASE.model, bias=n)),
            "bias must be bool but got 1",
        ),
        (lambda n: replace(BASE, train=replace(BASE.train, budget=Budget(steps=n / 2))), "0.5"),
        (lambda n: replace(BASE, train=replace(BASE.train, log_interval=5.0 * n)), "got 5.0"),
        (lambda n: n, "cell must return a RunConfig but got int"),
        (lambda n: exit(n), r"must not end the program but it called sys.exit\(\)"),
        (lambda n: {}[n], "KeyError: 1"),
    ],
)
def test_what_a_cell_gets_wrong_ends_the_plan_with_its_line(make: Any, says: str) -> None:
    """Even where another of its points is right: it is no point to be dropped."""

    def cell(trial: Trial) -> RunConfig:
        n = choose(trial, "n", [7, 1])
        return BASE if n == 7 else make(n)

    with pytest.raises(StudyError, match=rf"test_checked_trial.py:\d+: .*{says}"):
        cells_of(Study(cell), {})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"metric": "accuracy"}, "metric must be one of val_bits_per_byte, .* but got 'accuracy'"),
        ({"seeds": 2.5}, "seeds must be int or auto but got 2.5"),
        ({"seeds": True}, "seeds must be int or auto but got True"),
        ({"seeds": "many"}, "seeds must be int or auto but got 'many'"),
        ({"matters": 0.0}, "matters must be between 0 and 1 but got 0.0"),
        ({"seeds": 0}, "seeds must be at least 1 but got 0"),
        ({"first_seed": -1}, "first_seed must be at least 0 but got -1"),
        ({"first_seed": "1"}, "first_seed must be int but got '1'"),
        ({"search": 5}, "search must be Search or None but got 5"),
        ({"cell": 5}, "cell must be a function but got 5"),
    ],
)
def test_a_study_s_own_options_are_checked(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Study(**{"cell": lambda _: BASE} | options)
    assert Study(lambda _: BASE, seeds=np.int64(2)).seeds == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n_trials": 2.0}, "n_trials must be int but got 2.0"),
        ({"n_trials": 0}, "n_trials must be at least 1 but got 0"),
        ({"n_finalists": 1}, "n_finalists must be 0 or at least 2"),
        ({"pruner": 5}, "pruner must be a function but got 5"),
        ({"pruner": int}, "pruner must make a BasePruner but made 0"),
        ({"sampler": str}, "sampler must make a BaseSampler but made '0'"),
    ],
)
def test_a_search_s_own_options_are_checked(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Search(**{"n_trials": 3} | options)
