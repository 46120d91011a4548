"""Ceilings, memory and the edges of a timed region, on work whose cost is known."""

import itertools
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.micro import stopwatch as module
from bench.micro.accounting import Work
from bench.micro.aggregation import AGGREGATIONS
from bench.micro.checks import disagreement, wrong_mean
from bench.micro.memory import call_peak_bytes
from bench.micro.stopwatch import ImpossibleError, Stopwatch, Subject
from bench.timing import ceilings
from bench.timing.ceilings import Ceilings, measure_ceilings, measure_matmul

CPU = torch.device("cpu")
SUBJECT = Subject(series="a question", name="an answer", T=8)
MODEST = Ceilings(1e9, {1000: 4e9, 100_000: 1e9})


class FakeBenchmark:
    """pytest-benchmark's fixture, as far as it is used here."""

    def __init__(self) -> None:
        self.disabled = self.has_error = False
        self.group = ""
        self.extra_info: dict[str, Any] = {}
        self.stats: dict[str, float] = {}

    def pedantic(self, run: Any, setup: Any, rounds: int) -> None:
        times = []
        for _ in range(rounds):
            setup()
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        self.stats = {"median": sorted(times)[len(times) // 2]}


@pytest.fixture
def modest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 1 GFLOP/s."""
    monkeypatch.setattr(module, "measure_ceilings", lambda *_: MODEST)


def test_ceilings_are_those_of_real_products_and_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock by which each call takes a millisecond, whatever it does."""
    ticks = itertools.count()
    monkeypatch.setattr(ceilings.time, "perf_counter", lambda: next(ticks) / 1000)
    monkeypatch.setattr(ceilings, "MATRIX_SIDES", {"cpu": (64, 128)})
    monkeypatch.setattr(ceilings, "COPY_BYTES", (1 << 14, 1 << 18))

    found = measure_ceilings(CPU, torch.float32)

    assert found.matmul_flops_per_second == pytest.approx(2 * 128**3 * 1000)
    assert found.copy_bytes_per_second == pytest.approx(
        {1 << 15: (1 << 15) * 1000, 1 << 19: (1 << 19) * 1000}
    )


@pytest.mark.parametrize(
    ("device", "dtype", "products", "ceiling"),
    [
        ("cpu", torch.bfloat16, {torch.float32: 35e9, torch.bfloat16: 5e9}, 35e9),
        ("cpu", torch.float16, {torch.float32: 35e9, torch.float16: 1e9}, 35e9),
        ("cpu", torch.bfloat16, {torch.float32: 300e9, torch.bfloat16: 2000e9}, 2000e9),
        ("cpu", torch.float32, {torch.float32: 300e9, torch.bfloat16: 2000e9}, 300e9),
        ("cuda", torch.bfloat16, {torch.float32: 35e9, torch.bfloat16: 5e9}, 5e9),
    ],
)
def test_an_emulated_precision_is_bounded_by_float32(
    device: str,
    dtype: torch.dtype,
    products: dict[torch.dtype, float],
    ceiling: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ceilings, "_best_product", lambda _, dtype: products[dtype])

    assert measure_matmul(torch.device(device), dtype) == ceiling


def test_a_kernel_that_avoids_the_emulated_product_gets_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As attention does in bfloat16 on a CPU without it: faster than that product, and right."""
    products = {torch.float32: 1e12, torch.bfloat16: 1e9}
    monkeypatch.setattr(ceilings, "_best_product", lambda _, dtype: products[dtype])
    monkeypatch.setattr(ceilings, "COPY_BYTES", (1 << 14,))
    benchmark = FakeBenchmark()
    work = Work(flops=10**8, bytes=1)

    Stopwatch(0.01).time(benchmark, lambda: time.sleep(0.001), SUBJECT, work, CPU, torch.bfloat16)

    info = benchmark.extra_info
    assert info["gflop_per_second"] > 1.15  # the ceiling of the emulated product, with its margin
    assert info["matmul_ceiling_gflop_per_second"] == 1000
    assert info["share_of_matmul_ceiling"] == pytest.approx(info["gflop_per_second"] / 1000)


def test_the_ceiling_is_of_the_side_that_multiplies_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here 3 GFLOP/s, at a side of 32; 1 at the others, the smallest and the largest."""
    best = {16: 1e9, 32: 3e9, 64: 1e9}

    def seconds(multiply: Callable[[], Tensor], _: torch.device) -> float:
        side = len(multiply())
        return 2 * side**3 / best[side]

    monkeypatch.setattr(ceilings, "MATRIX_SIDES", {"cpu": tuple(best)})
    monkeypatch.setattr(ceilings, "_fastest", seconds)

    assert measure_matmul(CPU, torch.float32) == pytest.approx(3e9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_copy_reads_and_writes_each_byte(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand bytes in a millisecond are two megabytes a second."""
    monkeypatch.setattr(ceilings, "COPY_BYTES", (1000,))
    monkeypatch.setattr(ceilings, "measure_matmul", lambda *_: 1.0)
    monkeypatch.setattr(ceilings, "_fastest", lambda copy, _: copy().nbytes * 1e-6)

    assert measure_ceilings(CPU, dtype).copy_bytes_per_second == {2000: pytest.approx(2e6)}


def test_a_probe_takes_the_fastest_of_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is warm-up; a probe's time is up with the fourth of the others."""
    took = iter([0.0001, 0.03, 0.01, 0.005, 0.02])
    clock = SimpleNamespace(now=0.0)

    def call() -> None:
        clock.now += next(took)

    monkeypatch.setattr(ceilings.time, "perf_counter", lambda: clock.now)

    assert ceilings._fastest(call, CPU) == pytest.approx(0.005)
    assert next(took, None) is None


def test_a_working_set_is_held_against_copies_of_its_size_or_more() -> None:
    assert MODEST.copy_bytes_per_second_at(10) == 4e9
    assert MODEST.copy_bytes_per_second_at(2000) == 4e9
    assert MODEST.copy_bytes_per_second_at(2001) == 1e9
    assert MODEST.copy_bytes_per_second_at(10**9) == 1e9


def test_the_better_of_two_ceilings_counts() -> None:
    other = Ceilings(5e8, {1000: 5e9, 100_000: 5e8})

    assert MODEST.best_with(other) == Ceilings(1e9, {1000: 5e9, 100_000: 1e9})


@pytest.mark.usefixtures("modest")
def test_what_was_timed_is_said_beside_the_time() -> None:
    benchmark = FakeBenchmark()
    work = Work(flops=1000, bytes=1000)

    Stopwatch(0.01).time(benchmark, lambda: time.sleep(0.001), SUBJECT, work, CPU, torch.float32)

    info, seconds = benchmark.extra_info, benchmark.stats["median"]
    assert benchmark.group == "a question, T = 8"
    assert info["share_of_matmul_ceiling"] == pytest.approx(1000 / seconds / 1e9)
    assert info["gigabytes_per_second"] == pytest.approx(1000 / seconds / 1e9)
    assert info["threads"] == torch.get_num_threads()
    assert (info["device"], info["dtype"], info["peak_memory_bytes"]) == ("cpu", "float32", 0)


@pytest.mark.usefixtures("modest")
@pytest.mark.parametrize(("work", "name"), [(Work(10**8, 1), "matmul"), (Work(1, 10**9), "copy")])
def test_a_throughput_above_a_ceiling_is_refused(work: Work, name: str) -> None:
    benchmark = FakeBenchmark()

    with pytest.raises(ImpossibleError, match=f"must not exceed the {name} ceiling but was"):
        Stopwatch(0.0).time(benchmark, lambda: None, SUBJECT, work, CPU, torch.float32)

    assert benchmark.has_error
    assert not benchmark.extra_info


@pytest.mark.parametrize("second", [1e9, 1e12])
def test_a_throughput_above_a_ceiling_has_that_measured_again(
    second: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy machine's ceiling came out too low the first time; the better one stays."""
    measured = iter([Ceilings(1e9, {10: 1e12}), Ceilings(second, {10: 1e12})])
    monkeypatch.setattr(module, "measure_ceilings", lambda *_: next(measured))
    stopwatch, work = Stopwatch(0.0), Work(10**8, 1)

    def take() -> float:
        benchmark = FakeBenchmark()
        stopwatch.time(benchmark, lambda: time.sleep(0.001), SUBJECT, work, CPU, torch.float32)
        return float(benchmark.extra_info["matmul_ceiling_gflop_per_second"])

    if second == 1e9:
        with pytest.raises(ImpossibleError):
            take()
    else:
        assert take() == take() == 1000
    assert next(measured, None) is None


@pytest.mark.usefixtures("modest")
@pytest.mark.parametrize(
    ("seconds", "warm_up", "rounds"),
    [
        (0.2, [5.0, 0.02, 0.01], 20),  # the quickest call of the warm-up says how many fit
        (0.2, [1.0, 1.0, 1.0], 5),  # and five at least
        (1.0, [1e-6, 1e-6, 1e-6], 500),
    ],
)
def test_rounds_fill_the_time_after_a_warm_up(
    seconds: float, warm_up: list[float], rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    took = iter(warm_up)
    asked: list[int] = []

    class Counting(FakeBenchmark):
        def pedantic(self, run: Any, setup: Any, rounds: int) -> None:
            asked.append(rounds)
            super().pedantic(run, setup, 1)

    monkeypatch.setattr(module, "_seconds_of", lambda _: next(took))
    Stopwatch(seconds).time(Counting(), lambda: None, SUBJECT, Work(0, 0), CPU, None)

    assert asked == [rounds]
    assert next(took, None) is None


@pytest.mark.usefixtures("modest")
@pytest.mark.parametrize("waits", [True, False])
def test_the_device_is_waited_for_at_both_edges(
    waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device on which each call takes 5 ms, but returns at once; work is queued before, too."""
    device = SimpleNamespace(queued_seconds=1.0)

    def synchronize(_: torch.device) -> None:
        if waits:
            time.sleep(min(device.queued_seconds, 0.05))
            device.queued_seconds = 0.0

    def call() -> None:
        device.queued_seconds += 0.005

    monkeypatch.setattr(module, "synchronize", synchronize)
    benchmark = FakeBenchmark()
    Stopwatch(0.0).time(benchmark, call, SUBJECT, Work(1, 1), CPU, None)

    assert (benchmark.stats["median"] >= 0.005) == waits


def test_memory_is_the_most_that_was_allocated_at_once() -> None:
    """Two megabytes at once, then one: temporaries count while they live."""
    x = torch.ones(250_000)  # 1 MB

    def run() -> Tensor:
        both = [x + 1, x + 2]
        both.clear()
        return x + 3

    assert call_peak_bytes(run, CPU) == pytest.approx(2e6, rel=0.01)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_right_means_pass(name: str) -> None:
    assert wrong_mean(AGGREGATIONS[name], torch.randn(2, 9, 3)) is None


def test_wrong_means_are_found() -> None:
    def of_everything(x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True).expand_as(x)

    def leaking(x: Tensor) -> Tensor:
        return AGGREGATIONS["cumsum"](x) + 1e-7 * x.mean(1, keepdim=True)

    assert "off by" in (wrong_mean(of_everything, torch.randn(2, 9, 3)) or "")
    assert "leaks the future" in (wrong_mean(leaking, torch.randn(2, 9, 3)) or "")


def test_a_result_beyond_rounding_is_found() -> None:
    assert disagreement(lambda dtype: [torch.ones(3, dtype=dtype) / 3], torch.bfloat16) is None

    def off(dtype: torch.dtype) -> list[Tensor]:
        return [torch.ones(3, dtype=dtype) * (1.01 if dtype == torch.float32 else 1.0)]

    assert "its result 0 is off by 1.0e-02" in (disagreement(off, torch.float32) or "")
