"""Times taken in turn, on a clock that only moves when told, with noise and drift put in."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.conclude.looks import rule_of
from bench.conclude.stats import Gain, Verdict, race_timings
from bench.timing.interleave import interleave
from gpt.errors import ConfigError

ROUNDS = 30
SIGNIFICANT = {Verdict.BETTER, Verdict.WORSE}


class Machine:
    """Time that passes by the work done on it: noisy, and slower as time goes by.

    Args:
        noise: standard deviation of the logarithm of a time.
        drift: by how much slower all is at the last of `n_calls`, linearly.
    """

    def __init__(self, seed: int = 0, noise: float = 0.0, drift: float = 0.0, n_calls: int = 1):
        self.rng = np.random.default_rng(seed)
        self.noise, self.drift, self.n_calls = noise, drift, n_calls
        self.calls: list[str] = []
        self.seconds = self.queued = 0.0

    def way(self, name: str, seconds: float) -> Callable[[], None]:
        def call() -> None:
            slowdown = 1 + self.drift * len(self.calls) / self.n_calls
            jitter = math.exp(self.noise * self.rng.standard_normal())
            self.queued += seconds * slowdown * jitter
            self.calls.append(name)

        return call

    def synchronize(self) -> None:
        self.seconds += self.queued
        self.queued = 0.0

    def time(self, seconds: dict[str, float], rounds: int = ROUNDS) -> dict[str, NDArray]:
        self.n_calls = 2 * rounds * len(seconds)
        ways = {name: self.way(name, value) for name, value in seconds.items()}
        return interleave(
            ways, rounds=rounds, warm_up=0, synchronize=self.synchronize, now=lambda: self.seconds
        )


def gain(times: dict[str, NDArray], one: str = "b", other: str = "a", **rule: float) -> Gain:
    """By how much the one is faster than the other."""
    return race_timings(times, rule_of("tokens_per_second", **rule)).gain(one, other)


def against_itself(machine: Machine) -> Gain:
    return gain(machine.time({"a": 1.0, "b": 1.0}), matters=1e-6)


def test_ways_are_taken_there_and_back_after_the_warm_up() -> None:
    machine = Machine()
    ways = {name: machine.way(name, 1.0) for name in "abc"}

    times = interleave(
        ways, rounds=2, warm_up=1, synchronize=machine.synchronize, now=lambda: machine.seconds
    )

    assert "".join(machine.calls) == "abc" + "abccba" * 2
    assert {name: seconds.shape for name, seconds in times.items()} == dict.fromkeys("abc", (2, 2))


def test_each_way_is_charged_its_own_work_whatever_was_queued() -> None:
    times = Machine().time({"a": 1.0, "b": 3.0}, rounds=2)

    assert times["a"].tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert times["b"].tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_what_the_warm_up_left_queued_is_charged_to_nobody() -> None:
    machine = Machine()
    ways = {name: machine.way(name, 1.0) for name in "ab"}

    times = interleave(
        ways, rounds=1, warm_up=3, synchronize=machine.synchronize, now=lambda: machine.seconds
    )

    assert {name: seconds.tolist() for name, seconds in times.items()} == {
        "a": [[1.0, 1.0]],
        "b": [[1.0, 1.0]],
    }


def test_rounds_are_at_least_one() -> None:
    with pytest.raises(ConfigError, match="rounds"):
        interleave({}, rounds=0)


def test_rule_10_a_a_gives_at_most_5_in_100() -> None:
    verdicts = [against_itself(Machine(seed, noise=0.05)).verdict for seed in range(100)]

    assert sum(verdict in SIGNIFICANT for verdict in verdicts) <= 5


@pytest.mark.parametrize("noise", [0.005, 0.01, 0.03, 0.1])
def test_rule_10_injected_5_percent_slowdown_is_found_in_90_of_100_or_mde_is_printed(
    noise: float,
) -> None:
    found, silent = 0, 0
    for seed in range(100):
        slow = gain(Machine(seed, noise).time({"a": 1.0, "b": 1.05}))
        found += slow.verdict is Verdict.WORSE
        silent += slow.verdict is not Verdict.WORSE and slow.detectable < math.log(1.05)

    assert found >= 90 or silent <= 10
    assert found >= 90 or noise > 0.01


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_what_is_said_to_be_detectable_is_detected(noise: float) -> None:
    found = 0
    for seed in range(100):
        times = Machine(seed, noise).time({"a": 1.0, "b": 1.0})
        slowed = times | {"b": np.exp(gain(times).detectable) * times["b"]}
        found += gain(slowed).verdict is Verdict.WORSE

    assert found >= 80


def test_rule_11_interleaving_cancels_a_20_percent_linear_drift() -> None:
    drifting = [against_itself(Machine(seed, 0.001, drift=0.2)) for seed in range(50)]
    assert sum(comparison.verdict in SIGNIFICANT for comparison in drifting) <= 2
    assert max(abs(comparison.mean) for comparison in drifting) < 0.001

    in_blocks = Machine(0, 0.001, drift=0.2, n_calls=4 * ROUNDS)
    seconds = {}
    for name in "ab":  # all of one, then all of the other, as one must not
        way = {name: in_blocks.way(name, 1.0)}
        seconds |= interleave(
            way, rounds=ROUNDS, warm_up=0, synchronize=in_blocks.synchronize,
            now=lambda: in_blocks.seconds,
        )  # fmt: skip
    assert gain(seconds, matters=1e-6).verdict is Verdict.WORSE


def test_rule_11_drift_leaves_a_true_difference_as_it_is() -> None:
    times = Machine(drift=0.2).time({"a": 1.0, "b": 1.05})

    assert gain(times).mean == pytest.approx(math.log(1 / 1.05), rel=1e-3)


def test_one_slow_call_in_ten_hides_nothing() -> None:
    times = Machine(0, 0.005).time({"a": 1.0, "b": 0.9, "c": 1.0})
    times["b"][::5, 0] *= 10

    faster = gain(times)
    assert faster.verdict is Verdict.BETTER
    assert faster.mean == pytest.approx(math.log(1 / 0.9), abs=0.01)


@pytest.mark.parametrize("rounds", [1, 2])
def test_too_few_rounds_decide_nothing(rounds: int) -> None:
    few = gain(Machine(0, 0.01).time({"a": 1.0, "b": 2.0}, rounds))

    assert few.verdict is Verdict.UNDETERMINED
    assert few.detectable == math.inf


def test_ways_that_differ_by_less_than_matters_are_a_tie() -> None:
    times = Machine(0, 0.001).time({"a": 1.0, "b": 1.005})

    assert gain(times, matters=0.02).verdict is Verdict.TIE
    assert gain(times, matters=1e-6).verdict is Verdict.WORSE


def test_times_of_unlike_rounds_were_not_taken_in_turn() -> None:
    with pytest.raises(ConfigError, match="one shape"):
        gain({"a": np.ones((3, 2)), "b": np.ones((4, 2))})
