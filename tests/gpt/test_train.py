"""Training: repeatable, within its budget, and every second charged to who spent it."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

import gpt.train
from gpt.clock import BUCKETS, Clock
from gpt.config import RunConfig
from gpt.errors import ConfigError, DivergedError
from gpt.setup import Setup, set_up
from gpt.train import Point, planned_steps, train

Run = Callable[..., list[Point]]

TOKENS_PER_STEP = 4 * 16


@pytest.fixture
def settle(tiny: RunConfig, cache: Path) -> Callable[..., Setup]:
    """Set the tiny run up, with overrides."""
    return lambda **values: set_up(
        tiny.override({key: str(value) for key, value in values.items()}), cache=cache
    )


@pytest.fixture
def run(settle: Callable[..., Setup]) -> Run:
    return lambda **values: list(train(settle(**values)))


class LateDevice:
    """Seconds that only pass when somebody waits for the queued work, or sleeps."""

    def __init__(self) -> None:
        self.seconds = self.queued = 0.0

    def work(self, seconds: float) -> None:
        self.queued += seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def synchronize(self, *_: object) -> None:
        self.seconds, self.queued = self.seconds + self.queued, 0.0

    def now(self) -> float:
        return self.seconds


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> LateDevice:
    """A device that `train` takes for its own, and whose time it takes for the time."""
    device = LateDevice()
    monkeypatch.setattr(gpt.train, "Clock", partial(Clock, now=device.now))
    monkeypatch.setattr(gpt.train, "synchronize", device.synchronize)
    return device


def watch(setup: Setup, late: LateDevice, *, step: float = 1.0, evaluation: float = 1.0) -> Setup:
    """The same setup, with a model whose forward passes take this long on `late`."""
    setup.model.register_forward_pre_hook(
        lambda model, _: late.work(step if model.training else evaluation)
    )
    return setup


def what_was_computed(points: list[Point]) -> list[object]:
    """All of the points but times and memory."""
    return [
        (p.step, p.train_loss, p.learning_rate, p.grad_norm, p.evaluation, p.estimate)
        for p in points
    ]


@pytest.fixture
def optimizer_steps() -> Iterator[list[torch.optim.Optimizer]]:
    """(learning rate, norm of the whole gradient) of every optimizer step, as it is taken."""
    seen = []

    def look(optimizer: torch.optim.Optimizer, *_: object) -> None:
        groups = optimizer.param_groups
        gradients = [p.grad.flatten() for group in groups for p in group["params"]]
        seen.append((groups[0]["lr"], torch.cat(gradients).norm().item()))

    handle = register_optimizer_step_pre_hook(look)
    yield seen
    handle.remove()


# What is computed


def test_the_same_config_gives_the_same_points_to_the_bit(run: Run) -> None:
    values = {"dropout": 0.3, "estimate_batches": 2, "log_interval": 3}
    one, same, other = (what_was_computed(run(**values, seed=seed)) for seed in (0, 0, 1))

    assert one == same
    assert all(a != b for a, b in zip(one, other, strict=True))


def test_what_the_caller_does_between_points_changes_nothing(settle: Callable[..., Setup]) -> None:
    """It draws, seeds, and trains another model in turn."""
    alone = list(train(settle(dropout=0.3, log_interval=2)))

    disturbed = []
    other = train(settle(dropout=0.3, log_interval=2, seed=5))
    for point in train(settle(dropout=0.3, log_interval=2)):
        disturbed.append(point)
        torch.manual_seed(99)
        torch.rand(7)
        next(other)

    assert what_was_computed(disturbed) == what_was_computed(alone)


def test_training_leaves_the_callers_randomness_alone(settle: Callable[..., Setup]) -> None:
    points = train(settle(dropout=0.3))
    before = torch.get_rng_state()

    next(points)

    assert torch.equal(torch.get_rng_state(), before)


def test_looking_more_often_trains_the_same_model(settle: Callable[..., Setup]) -> None:
    seldom, often = (
        settle(evaluations=1, log_interval=20),
        settle(evaluations=7, log_interval=1, estimate_batches=1),
    )
    for setup in (seldom, often):
        list(train(setup))

    for one, other in zip(seldom.model.parameters(), often.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_loss_curve_is_what_it_was(run: Run) -> None:
    """A guard for refactors: the numbers are of this code, not of an oracle."""
    points = run(log_interval=5, learning_rate=0.01)

    assert [p.step for p in points] == [1, 5, 10, 15, 20]
    losses = [5.6646, 5.4590, 4.6925, 4.0297, 3.8085]
    assert [p.train_loss for p in points] == pytest.approx(losses, abs=1e-3)
    assert points[-1].evaluation.bits_per_byte == pytest.approx(4.8631, abs=1e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_learns(optimizer: str, dtype: str, run: Run) -> None:
    points = run(steps=60, learning_rate=0.01, optimizer=optimizer, dtype=dtype)
    evaluations = [p.evaluation.bits_per_byte for p in points if p.evaluation]

    assert points[-1].train_loss < 0.7 * points[0].train_loss
    assert evaluations == sorted(evaluations, reverse=True)


def test_estimates_come_where_asked_and_are_near_the_loss(run: Run) -> None:
    last = run(estimate_batches=20)[-1]
    train_estimate, val_estimate = last.estimate

    assert val_estimate == pytest.approx(last.evaluation.loss, rel=0.05)
    assert train_estimate == pytest.approx(last.train_loss, rel=0.05)
    assert run(estimate_batches=0)[-1].estimate is None


@pytest.mark.parametrize("grad_clip", [0.0, 0.05, 1e6])
def test_gradients_are_clipped(
    grad_clip: float, run: Run, optimizer_steps: list[tuple[float, float]]
) -> None:
    points = run(grad_clip=grad_clip, log_interval=1)
    before = [p.grad_norm for p in points]
    after = [norm for _, norm in optimizer_steps]

    assert min(before) > 0.05
    assert after == pytest.approx([min(n, grad_clip or n) for n in before], rel=1e-4)


def test_the_rate_follows_nanogpts_rule(
    run: Run, optimizer_steps: list[tuple[float, float]]
) -> None:
    """Warm-up over 100 steps, then a cosine over 100 more, which ends a step before its floor."""
    points = run(steps=200, warmup_fraction=0.5, learning_rate=1e-3, model="bigram")

    def rule(it: int) -> float:
        if it < 100:
            return 1e-3 * (it + 1) / 101
        return 1e-4 + 0.5 * (1 + math.cos(math.pi * (it - 100) / 100)) * 9e-4

    assert [rate for rate, _ in optimizer_steps] == pytest.approx([rule(it) for it in range(200)])
    assert points[0].learning_rate == pytest.approx(1e-3 / 101)
    assert [p.learning_rate for p in points] == pytest.approx([rule(p.step - 1) for p in points])


# How much


@pytest.mark.parametrize(
    ("unit", "amount"), [("steps", 7), ("tokens", 1000), ("bytes", 1500), ("flops", 1e8)]
)
def test_a_budget_is_spent_to_the_nearest_step(
    unit: str, amount: float, settle: Callable[..., Setup]
) -> None:
    setup = settle(**{unit: amount, "tokenizer": "byte"})
    last = list(train(setup))[-1]
    flops = last.n_tokens * setup.model.flops_per_token(16)
    spent = {"steps": last.step, "tokens": last.n_tokens, "bytes": last.n_bytes, "flops": flops}

    assert last.progress == 1.0
    assert last.step == planned_steps(setup) > 3
    assert abs(spent[unit] - amount) <= spent[unit] / last.step / 2


def test_a_budget_spent_before_the_first_step_is_one_step(
    late: LateDevice, settle: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making the optimizer is warm-up, which counts."""
    build = gpt.train.make_update

    def build_slowly(*args: object, **values: object) -> object:
        late.sleep(10.0)
        return build(*args, **values)

    monkeypatch.setattr(gpt.train, "make_update", build_slowly)
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
    free = [p.evaluation.loss for p in run(evaluations=4, learning_rate=0.01) if p.evaluation]
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
    assert sum(p.evaluation is not None for p in points) == min(3, last.step)


@pytest.mark.parametrize(
    ("steps", "evaluations"), [(20, 1), (20, 4), (20, 3), (7, 7), (3, 10), (100, 100), (58, 29)]
)
def test_evaluations_are_spread_evenly_and_end_the_run(
    steps: int, evaluations: int, run: Run
) -> None:
    points = run(steps=steps, evaluations=evaluations, model="bigram", log_interval=1000)
    evaluated = [p.step for p in points if p.evaluation]

    assert evaluated == sorted({-(-k * steps // evaluations) for k in range(1, evaluations + 1)})
    assert evaluated[-1] == steps


def test_points_come_at_the_interval(run: Run) -> None:
    assert [p.step for p in run(steps=25, evaluations=1, log_interval=10)] == [1, 10, 20, 25]
    assert [p.step for p in run(steps=5, evaluations=1, log_interval=1)] == [1, 2, 3, 4, 5]


# Where the time went


def test_the_first_step_is_warm_up(late: LateDevice, settle: Callable[..., Setup]) -> None:
    first, *_, last = train(watch(settle(), late, step=2.0))

    assert (first.seconds["warm_up"], first.seconds["step"]) == (2.0, 0.0)
    assert (last.seconds["warm_up"], last.seconds["step"]) == (2.0, 19 * 2.0)


def test_speed_is_of_the_steps_alone(late: LateDevice, settle: Callable[..., Setup]) -> None:
    for point in train(watch(settle(), late, step=2.0, evaluation=50.0)):
        late.sleep(30.0)
        assert point.step_milliseconds == 2000.0
        assert point.tokens_per_second == TOKENS_PER_STEP / 2.0


@pytest.mark.parametrize("slow", ["data", "step", "evaluation", "logging"])
def test_rule_06_a_delay_moves_its_own_bucket_alone(
    slow: str,
    late: LateDevice,
    settle: Callable[..., Setup],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the buckets sum to the wall."""
    sample = gpt.train.sample_batches
    cost = dict.fromkeys(["data", "step", "evaluation", "logging"], 1.0)

    def sample_slowly(*args: object) -> object:
        late.sleep(cost["data"])
        return sample(*args)

    def spend() -> dict[str, float]:
        setup = watch(settle(), late, step=cost["step"], evaluation=cost["evaluation"])
        start = late.now()
        for point in train(setup):
            seconds, wall = point.seconds, late.now() - start
            late.work(cost["logging"])
        assert sum(seconds.values()) == wall
        return seconds

    monkeypatch.setattr(gpt.train, "sample_batches", sample_slowly)
    plain = spend()
    cost[slow] = 8.0
    delayed = spend()

    # the first step, too, is slower where steps are, but that is warm-up
    unmoved = [b for b in BUCKETS if b != slow and not (slow == "step" and b == "warm_up")]
    assert delayed[slow] == 8.0 * plain[slow] > 0
    assert [delayed[b] for b in unmoved] == [plain[b] for b in unmoved]


def test_rule_07_without_synchronisation_work_is_charged_to_nobody(
    late: LateDevice, settle: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpt.train, "synchronize", lambda _: None)

    with pytest.raises(ZeroDivisionError):
        list(train(watch(settle(), late)))


def test_rule_06_on_the_real_clock_the_buckets_sum_to_the_wall(
    settle: Callable[..., Setup],
) -> None:
    setup = settle(steps=300, block_size=64, n_embd=64)
    start = time.perf_counter()
    for point in train(setup):
        wall, seconds = time.perf_counter() - start, point.seconds
        time.sleep(0.005)

    assert sum(seconds.values()) == pytest.approx(wall, rel=0.02)
    assert all(seconds[b] > 0 for b in BUCKETS if b != "compile")


def test_totals_only_grow(run: Run) -> None:
    for before, after in pairwise(run(log_interval=2)):
        assert all(before.seconds[b] <= after.seconds[b] for b in BUCKETS)
        assert 0 < before.peak_memory_bytes <= after.peak_memory_bytes


# When it goes wrong


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("step", [1, 2, 5, 20])
def test_a_loss_that_is_not_finite_ends_the_run_at_its_step(
    step: int, bad: float, settle: Callable[..., Setup]
) -> None:
    setup = settle(evaluations=1)
    losses = []

    def spoil(_: object, __: object, loss: torch.Tensor) -> torch.Tensor:
        losses.append(loss)
        return loss * bad if len(losses) == step else loss

    setup.model.register_forward_hook(spoil)
    with pytest.raises(DivergedError, match=f"{bad} at step {step}$") as error:
        list(train(setup))

    assert error.value.step == step


def test_a_last_step_that_ruins_the_model_is_found(run: Run) -> None:
    """Its own loss was taken before."""
    with pytest.raises(DivergedError) as error:
        run(steps=1, learning_rate=1e30, warmup_fraction=0)

    assert error.value.step == 1


def test_a_mad_learning_rate_diverges(run: Run) -> None:
    with pytest.raises(DivergedError) as error:
        run(learning_rate=1e30, warmup_fraction=0, evaluations=1)

    assert error.value.step == 2


def test_the_error_survives_its_way_from_a_worker() -> None:
    there = DivergedError(7, math.inf)
    here = copy.copy(there)  # by the way that crosses processes

    assert (here.step, here.loss, str(here)) == (7, math.inf, str(there))
