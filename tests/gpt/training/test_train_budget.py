"""Training ends when its budget is spent or its target reached, and looks as often as asked."""

import math
from collections.abc import Callable

import pytest
from late_device import LateDevice, watch

import gpt.training.loop
from gpt.errors import ConfigError
from gpt.training.flops import flops_per_step
from gpt.training.loop import Point, planned_steps, train
from gpt.training.schedule import learning_rate_at
from gpt.training.setup import Setup

Run = Callable[..., list[Point]]

TOKENS_PER_STEP = 4 * 16


@pytest.mark.parametrize(
    ("unit", "amount"), [("steps", 7), ("tokens", 1000), ("bytes", 1500), ("flops", 1e8)]
)
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_budget_is_spent_to_the_nearest_step(
    unit: str, amount: float, optimizer: str, settle: Callable[..., Setup]
) -> None:
    setup = settle(**{unit: amount, "tokenizer": "byte", "optimizer": optimizer})
    last = list(train(setup))[-1]
    flops = last.step * flops_per_step(setup.model, setup.config)
    spent = {"steps": last.step, "tokens": last.n_tokens, "bytes": last.n_bytes, "flops": flops}

    assert last.progress == 1.0
    assert last.step == planned_steps(setup) > 3
    assert abs(spent[unit] - amount) <= spent[unit] / last.step / 2


def test_a_budget_spent_before_the_first_step_is_one_step(
    late: LateDevice, settle: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making the optimizer is warm-up, which counts."""
    build = gpt.training.loop.Step

    def build_slowly(*args: object, **values: object) -> object:
        late.sleep(10.0)
        return build(*args, **values)

    monkeypatch.setattr(gpt.training.loop, "Step", build_slowly)
    (point,) = train(watch(settle(seconds=5.0), late))

    assert (point.step, point.progress) == (1, 1.0)
    assert point.evaluation


@pytest.mark.parametrize(("target", "steps"), [(1e9, 5), (0.0, 20)])
def test_a_run_stops_at_the_evaluation_that_finds_its_target_reached(
    target: float, steps: int, run: Run
) -> None:
    points = run(target_loss=target, evaluations=4)

    assert points[-1].step == steps
    assert [p.step for p in points if p.evaluation] == list(range(5, steps + 1, 5))


def test_the_target_is_a_loss_of_the_whole_split(run: Run) -> None:
    """It stops at the first evaluation that is there, and not before."""
    watched = run(evaluations=4, learning_rate=0.01, val_part_bytes=None)
    free = [p.evaluation.loss for p in watched if p.evaluation]
    held = run(evaluations=4, learning_rate=0.01, target_loss=free[2])

    assert [p.evaluation.loss for p in held if p.evaluation] == free[:3]


def test_tokens_and_bytes_are_counted(settle: Callable[..., Setup]) -> None:
    setup = settle(tokenizer="bpe", vocab_size=300)
    text = setup.text.encoded

    for point in train(setup):
        assert point.n_tokens == point.step * TOKENS_PER_STEP
        assert point.n_bytes / point.n_tokens == pytest.approx(text.train_bytes / len(text.train))
        assert point.progress == point.step / 20


def test_a_budget_below_a_step_is_one_step(run: Run) -> None:
    (point,) = run(tokens=1)

    assert (point.step, point.progress) == (1, 1.0)
    assert point.evaluation


def test_flops_are_no_budget_for_a_model_without_any(run: Run) -> None:
    with pytest.raises(ConfigError, match="bigram model spends none: give it in steps, tokens or"):
        run(model="bigram", flops=1e9)


@pytest.mark.parametrize("seconds", [0.5, 1.0, 25.5, 47.0])
def test_seconds_stop_within_a_step(
    seconds: float, late: LateDevice, settle: Callable[..., Setup]
) -> None:
    """A step takes a second; evaluations take long, and don't count."""
    points = list(train(watch(settle(seconds=seconds, evaluations=3), late, evaluation=1000.0)))
    last = points[-1]

    assert planned_steps(settle(seconds=seconds)) is None
    assert last.seconds["warm_up"] + last.seconds["step"] == last.step == math.ceil(seconds)
    assert last.progress == 1.0
    assert last.evaluation
    assert sum(p.val_part is not None for p in points) == min(3, last.step)
    assert [p.step for p in points if p.evaluation] == [last.step]


def test_an_optimizer_that_multiplies_gets_fewer_steps(settle: Callable[..., Setup]) -> None:
    """By hand: an iteration for the matrices of one block of 16 channels, at 64 tokens a step."""
    budget = {"flops": 1e8, "tokenizer": "byte", "muon_iterations": 5}
    adamw, muon = (settle(**budget, optimizer=kind) for kind in ("adamw", "muon"))
    iteration = 2 * (2 * 16**3 + 16**3)  # of the projection, 16 × 16
    iteration += 2 * (2 * 16**2 * 48 + 16**3)  # of q, k and v together, 48 × 16
    iteration += 2 * 2 * (2 * 16**2 * 64 + 16**3)  # of the MLP's two, 64 × 16
    model = 64 * adamw.model.flops_per_token(16)

    assert planned_steps(adamw) == round(1e8 / model)
    assert planned_steps(muon) == round(1e8 / (model + 5 * iteration)) < planned_steps(adamw)


def test_with_a_budget_in_seconds_the_learning_rate_moves_at_every_step(
    late: LateDevice, settle: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes a second. Points come every ten, and between them nobody looks at the clock."""
    rates = []

    def noted(*args: object) -> float:
        rates.append(learning_rate_at(*args))
        return rates[-1]

    monkeypatch.setattr(gpt.training.loop, "learning_rate_at", noted)
    setup = settle(seconds=40, evaluations=2, schedule="linear", warmup_fraction=0.25)
    points = list(train(watch(setup, late)))

    assert [p.step for p in points] == [1, 2, 10, 20, 30, 40]
    expected = [learning_rate_at(setup.config.optimizer, step / 40) for step in range(40)]
    assert rates == pytest.approx(expected)
    assert len(set(rates)) == 40


def test_evaluations_that_a_slow_step_ran_past_are_not_made_up_for(
    late: LateDevice, settle: Callable[..., Setup]
) -> None:
    """Ten in thirty seconds, of which the first step takes eleven, and every other one."""
    setup = settle(seconds=30, evaluations=10)
    setup.model.register_forward_pre_hook(lambda *_: late.work(10.0 if late.now() == 0 else 0.0))
    points = train(watch(setup, late, evaluation=0.0))

    assert [p.step for p in points if p.val_part] == [1, 2, 5, 8, 11, 14, 17, 20]


def test_a_slow_first_step_is_no_measure_of_the_others(
    late: LateDevice, settle: Callable[..., Setup]
) -> None:
    """It compiles, records or warms up for ten seconds; the others take one each."""
    setup = settle(seconds=30, evaluations=1, schedule="linear", warmup_fraction=0.0)
    setup.model.register_forward_pre_hook(lambda *_: late.work(10.0 if late.now() == 0 else 0.0))
    points = list(train(watch(setup, late)))
    starts = [0, 11, 19, 29]  # seconds at which the last step of each stretch begins
    expected = [learning_rate_at(setup.config.optimizer, second / 30) for second in starts]

    assert [p.step for p in points] == [1, 2, 10, 20]
    assert [p.learning_rate for p in points] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("steps", "evaluations"), [(20, 1), (20, 4), (20, 3), (7, 7), (3, 10), (100, 100), (58, 29)]
)
def test_evaluations_are_spread_evenly_and_end_the_run(
    steps: int, evaluations: int, run: Run
) -> None:
    points = run(steps=steps, evaluations=evaluations, model="bigram", log_interval=1000)
    evaluated = [p.step for p in points if p.val_part]

    assert evaluated == sorted({-(-k * steps // evaluations) for k in range(1, evaluations + 1)})
    assert evaluated[-1] == steps
    assert [p.step for p in points if p.evaluation] == [steps]


def test_points_come_at_the_interval(run: Run) -> None:
    assert [p.step for p in run(steps=25, evaluations=1, log_interval=10)] == [1, 10, 20, 25]
    assert [p.step for p in run(steps=5, evaluations=1, log_interval=1)] == [1, 2, 3, 4, 5]
