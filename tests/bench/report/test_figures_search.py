"""What a search learned: Optuna's numbers, and the trials behind them."""

import math
import warnings

import optuna
import pytest
from boards import APART, runs
from matplotlib import pyplot
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import TrialState, create_trial
from stories import axes_of, dots, rows_of, story, words_of

from bench.report.figures import importance, parallel, slices
from bench.report.figures.parallel import height
from bench.report.figures.search import importances
from bench.report.figures.trials import limits_of, trials_of
from bench.report.story import Story

SPACE = {
    "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "n_layer": IntDistribution(1, 8),
    "optimizer": CategoricalDistribution(["adamw", "muon"]),
}


def search(n_trials: int = 30, direction: str = "minimize") -> optuna.Study:
    """Trials in which the learning rate alone counts; every third is pruned, one diverged."""
    study = optuna.create_study(direction=direction)
    for i in range(n_trials):
        params = {
            "learning_rate": 1e-4 * 100 ** (i * 7 % n_trials / n_trials),
            "n_layer": 1 + i * 5 % 8,
            "optimizer": ("adamw", "muon")[i % 2],
        }
        value = 2 + (math.log10(params["learning_rate"]) + 3) ** 2
        state = TrialState.PRUNED if i % 3 == 2 else TrialState.COMPLETE
        state = TrialState.FAIL if i == 3 else state
        study.add_trial(
            create_trial(
                state=state, params=params, distributions=SPACE,
                value=value if state is TrialState.COMPLETE else None,
            )
        )  # fmt: skip
    return study


@pytest.fixture(scope="module")
def searched() -> Story:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return story(runs(APART), searched=search())


def test_the_importance_is_optuna_s_own(searched: Story) -> None:
    study = searched.searched
    assert study is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        theirs = optuna.visualization.matplotlib.plot_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator()
        )
    widths = [bar.get_width() for bar in theirs.patches]
    names = [label.get_text() for label in theirs.get_yticklabels()]
    pyplot.close(theirs.figure)
    picture = importance(searched)
    axes = axes_of(picture)

    ours = dict(zip(rows_of(axes), [bar.get_width() for bar in axes.patches], strict=True))
    assert ours == pytest.approx(dict(zip(names, widths, strict=True)))
    assert next(iter(ours)) == "learning_rate"
    assert picture is not None
    assert picture.title == "learning_rate seems to matter most."


@pytest.mark.skipif(int(optuna.__version__.split(".")[0]) < 5, reason="Optuna 4 has another one")
def test_the_evaluator_is_optuna_s_default(searched: Story) -> None:
    assert searched.searched is not None
    theirs = optuna.importance.get_param_importances(searched.searched)

    assert importances(searched.searched) == pytest.approx(theirs)


def test_trials_that_were_pruned_and_those_that_were_lost_are_told_apart(searched: Story) -> None:
    study = searched.searched
    assert study is not None
    found = trials_of(study)

    assert [len(found.complete), len(found.pruned), len(found.lost)] == [19, 10, 1]
    assert found.best.value == min(trial.value for trial in found.complete)
    table = found.table("val_bits_per_byte")
    assert list(table.columns[:3]) == ["trial", "outcome", "val_bits_per_byte"]
    assert dict(table.outcome.value_counts()) == {"complete": 19, "pruned": 10, "fail": 1}


def test_a_slice_has_each_trial_at_its_value(searched: Story) -> None:
    axes = axes_of(slices(searched))
    study = searched.searched
    assert study is not None
    found = trials_of(study)
    low, high = axes.get_ylim()

    assert (axes.get_xlabel(), axes.get_xscale()) == ("learning_rate", "log")
    expected = {
        (trial.params["learning_rate"], trial.value)
        for trial in found.complete
        if low <= trial.value <= high
    }
    assert expected <= set(dots(axes))
    assert dots(axes, "*") == [(found.best.params["learning_rate"], found.best.value)]
    crosses = [x for x, _ in dots(axes, "x")]
    assert crosses == [trial.params["learning_rate"] for trial in found.pruned]


def test_bad_values_may_lie_beyond_an_axis_but_never_good_ones() -> None:
    values = [2.0, 2.1, 2.1, 2.2, 2.2, 2.3, 50.0]

    low, high = limits_of(values, smaller=True)
    assert low < 2.0
    assert 2.3 < high < 3
    low, high = limits_of([-value for value in values], smaller=False)
    assert high > -2.0
    assert -3 < low < -2.3
    low, high = limits_of([2.0, 2.0], smaller=True)
    assert low < 2 < high


def test_the_axes_of_parallel_coordinates_are_those_of_the_distributions() -> None:
    assert height(SPACE["learning_rate"], 1e-3) == pytest.approx(0.5)
    assert height(SPACE["n_layer"], 8) == 1
    assert height(SPACE["optimizer"], "adamw") == 0
    assert height(IntDistribution(3, 3), 3) == 0.5


def test_a_line_goes_through_a_trial_s_values(searched: Story) -> None:
    axes = axes_of(parallel(searched))
    study = searched.searched
    assert study is not None
    found = trials_of(study)

    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[-2:] == ["learning_rate", "bits per byte"]
    lines = [tuple(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == 4]
    assert len(lines) == 19
    assert sum(len(line.get_xdata()) == 3 for line in axes.lines) == 10  # pruned
    best = max(axes.lines, key=lambda line: line.get_linewidth())
    rate = found.best.params["learning_rate"]
    assert best.get_ydata()[2] == pytest.approx(height(SPACE["learning_rate"], rate))
    assert min(line[3] for line in lines) == best.get_ydata()[3]
    assert "0.001" in words_of(axes)


def test_where_more_is_better_the_best_is_the_largest() -> None:
    told = story(runs(APART), "tokens_per_second", searched=search(12, "maximize"))
    study = told.searched
    assert study is not None

    assert trials_of(study).best.value == max(trial.value for trial in trials_of(study).complete)
    ((_, star),) = dots(axes_of(slices(told)), "*")
    assert star == trials_of(study).best.value


def test_a_grid_and_an_empty_search_have_no_such_pictures() -> None:
    for told in (story(runs(APART)), story(runs(APART), searched=optuna.create_study())):
        assert importance(told) is None
        assert slices(told) is None
        assert parallel(told) is None
