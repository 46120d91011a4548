"""Answers to a question timed in turns, on a clock that only moves when they are called."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from bench.micro import alternating as module
from bench.micro.accounting import Work
from bench.micro.alternating import AlternatingTimer, QuestionTimes
from bench.micro.fixture import LEFT_OUT, Timed
from bench.micro.report.verdicts import fastest, race, say
from bench.micro.stopwatch import ImpossibleError, Stopwatch, Subject

CPU = torch.device("cpu")


class Machine:
    """A clock, and answers that take their time on it, with noise and a drift of 1% a call."""

    def __init__(self, noise: float = 0.0, drift: float = 0.0) -> None:
        self.rng, self.noise, self.drift = np.random.default_rng(0), noise, drift
        self.calls: list[str] = []
        self.now = 0.0

    def answer(self, name: str, seconds: float) -> Callable[[], None]:
        def call() -> None:
            jitter = math.exp(self.noise * self.rng.standard_normal())
            self.now += seconds * jitter * (1 + self.drift * len(self.calls))
            self.calls.append(name)

        return call

    def take(
        self, budget: float = 0.0, T: int | None = 8, **seconds: float
    ) -> list[QuestionTimes]:
        turns = AlternatingTimer(budget, now=lambda: self.now)
        for name, value in seconds.items():
            subject = Subject(series="a question", name=name, T=T)
            turns.add(subject, self.answer(name, value), CPU, value)
        return turns.take()


def test_the_answers_to_a_question_take_turns() -> None:
    machine = Machine()
    [question] = machine.take(a=1.0, b=2.0, c=3.0)

    assert "".join(machine.calls) == "abc" + 10 * "abccba"  # a warm-up, and ten rounds at least
    assert (question.series, question.T, question.device) == ("a question", 8, "cpu")
    assert {name: set(s.flat) for name, s in question.seconds.items()} == {
        "a": {1.0}, "b": {2.0}, "c": {3.0},
    }  # fmt: skip


def test_a_turn_is_a_stretch_of_calls_and_its_time_that_of_one() -> None:
    """A millisecond of each; and a hundred rounds, for there is time enough."""
    machine = Machine()
    [question] = machine.take(1000.0, a=1 / 4096, b=1 / 512)

    assert "".join(machine.calls).startswith(2 * "aaaaab" + "b" + "aaaaa")
    assert question.seconds["a"].shape == (100, 2)
    assert question.seconds["a"].mean() == pytest.approx(1 / 4096)
    assert question.seconds["b"].mean() == pytest.approx(1 / 512)


def test_rounds_fill_half_of_the_answers_own_time() -> None:
    [question] = Machine().take(480.0, a=1.0, b=3.0)  # 8 s a round
    assert len(question.seconds["a"]) == 60


def test_a_drift_decides_nothing() -> None:
    """All twice as slow within seventeen rounds: one after another, the first would be fastest."""
    [question] = Machine(noise=0.001, drift=0.01).take(a=1.0, b=1.0, c=1.0)
    assert sorted(fastest(race(question))) == ["a", "b", "c"]


def test_questions_are_not_mixed_and_one_answer_is_no_comparison() -> None:
    turns = AlternatingTimer(0.0)
    for series, T, name in (("x", 8, "a"), ("x", 16, "a"), ("x", 16, "b"), ("y", 16, "b")):
        turns.add(Subject(series=series, name=name, T=T), lambda: None, CPU, 1.0)

    [question] = turns.take()
    assert (question.series, question.T, list(question.seconds)) == ("x", 16, ["a", "b"])
    assert turns.take() == []  # each is taken once


def test_the_device_is_waited_for_after_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    monkeypatch.setattr(module, "synchronize", lambda _: machine.calls.append("."))
    machine.take(a=1 / 1024, b=1.0)

    assert "".join(machine.calls) == "a.a.b." + 10 * "a.a.b.b.a.a."


def test_what_is_saved_is_read_again() -> None:
    [question] = Machine(noise=0.1).take(a=1.0, b=2.0)
    again = QuestionTimes.from_json(question.to_json())

    assert (again.series, again.T, again.device) == ("a question", 8, "cpu")
    for name, seconds in question.seconds.items():
        assert np.array_equal(again.seconds[name], seconds)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ({"a": 2.0, "b": 1.0, "c": 30.0}, "b is fastest: a, the next, takes 2.0"),
        ({"a": 1.0, "b": 1.0, "c": 2.0}, "tie for the fastest"),
        ({"a": 1.0, "b": 1.02}, "which is fastest is undetermined: a leads, b takes 1.0"),
        ({"a": 1.0, "b": 200.0}, "a is fastest: b, the next, takes 200 (19"),
    ],
)
def test_the_verdict_is_in_words(seconds: dict[str, float], words: str) -> None:
    [question] = Machine(noise=0.01).take(**seconds)
    assert words in say(race(question))


def test_one_round_tells_nothing() -> None:
    question = QuestionTimes(
        series="x",
        T=None,
        device="cpu",
        seconds={n: np.full((1, 2), s) for n, s in [("a", 1.0), ("b", 3.0)]},
    )
    found = race(question)
    assert fastest(found) == []
    assert say(found).endswith(
        "undetermined: a leads, b takes 3.00 times as long, in too few rounds"
    )


@pytest.mark.parametrize("disabled", [True, False])
def test_what_was_timed_is_kept_for_its_turn(disabled: bool) -> None:
    kept = timed(disabled, lambda *_: None)
    assert len(kept) == (0 if disabled else 1)


def test_what_can_not_be_gets_no_turn() -> None:
    def refuse(*_: object) -> None:
        raise ImpossibleError("too fast")

    with pytest.raises(pytest.fail.Exception, match="too fast"):
        timed(False, refuse)


def timed(disabled: bool, time: Callable[..., None]) -> list[Any]:
    """What is kept of one answer, timed so."""
    kept: list[Any] = []
    config = SimpleNamespace(stash={LEFT_OUT: []})
    Timed(
        cast(pytest.Config, config),
        SimpleNamespace(disabled=disabled, stats={"median": 1.0}),
        cast(Stopwatch, SimpleNamespace(time=time)),
        cast(AlternatingTimer, SimpleNamespace(add=lambda *answer: kept.append(answer))),
    )(lambda: None, Subject(series="x", name="a"), Work(1, 1), CPU)
    return kept
