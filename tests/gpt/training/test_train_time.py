"""Every second of training is charged to who spent it."""

import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from late_device import LateDevice, watch

import gpt.training.loop
from gpt.training.clock import BUCKETS
from gpt.training.loop import Point, train
from gpt.training.setup import Setup

TOKENS_PER_STEP = 4 * 16


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
    sample = gpt.training.loop.sample_batches
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

    monkeypatch.setattr(gpt.training.loop, "sample_batches", sample_slowly)
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
    monkeypatch.setattr(gpt.training.loop, "synchronize", lambda _: None)

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


def test_bringing_the_text_to_the_device_is_data(
    late: LateDevice, settle: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no part of a budget in seconds."""
    bring = gpt.training.loop.moved_if_small

    def bring_slowly(*args: object) -> object:
        late.work(100.0)
        return bring(*args)

    monkeypatch.setattr(gpt.training.loop, "moved_if_small", bring_slowly)
    *_, last = train(watch(settle(seconds=20, evaluations=1), late, step=2.0))

    assert (last.step, last.seconds["data"], last.seconds["warm_up"]) == (10, 100.0, 2.0)


def test_the_peak_of_memory_is_the_run_s_own(
    settle: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the process used before it is forgotten, once, before the first step."""
    peak = [10**12]
    monkeypatch.setattr(gpt.training.loop, "reset_peak_memory", lambda _: peak.append(0))
    monkeypatch.setattr(gpt.training.loop, "peak_memory_bytes", lambda _: peak[-1] + 7)

    assert {p.peak_memory_bytes for p in train(settle())} == {7}
    assert len(peak) == 2


def test_totals_only_grow(run: Callable[..., list[Point]]) -> None:
    for before, after in pairwise(run(log_interval=2)):
        assert all(before.seconds[b] <= after.seconds[b] for b in BUCKETS)
        assert 0 < before.peak_memory_bytes <= after.peak_memory_bytes
