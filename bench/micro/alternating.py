"""Time the answers to one question again, in turns, to decide which of them is fastest.

pytest-benchmark times one answer after another, so differences between its times include changes
of the machine's load. Verdicts use the times taken here instead. Each turn is a stretch of calls,
so that what the previous answer left in the caches hardly matters.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from bench.micro.stopwatch import Subject
from bench.timing.interleave import interleave
from gpt.device import synchronize

SHARE = 0.5
"""Time for the turns, as a share of the time of an answer's own rounds; more for few rounds."""

MIN_ROUNDS, MAX_ROUNDS = 10, 100

STRETCH_SECONDS = 0.001
"""Least duration of a turn."""


@dataclass(frozen=True, kw_only=True)
class QuestionTimes:
    """The times of the answers to one question, taken in turns."""

    series: str
    T: int | None
    device: str

    seconds: Mapping[str, NDArray[np.float64]]
    """Answer -> seconds a call, (rounds, 2): the way there and the way back."""

    def to_json(self) -> dict[str, Any]:
        """The content of the saved JSON."""
        seconds = {name: array.tolist() for name, array in self.seconds.items()}
        return {"series": self.series, "T": self.T, "device": self.device, "seconds": seconds}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        seconds = {name: np.array(rounds) for name, rounds in saved["seconds"].items()}
        return cls(series=saved["series"], T=saved["T"], device=saved["device"], seconds=seconds)


@dataclass(frozen=True)
class _Answer:
    run: Callable[[], object]
    device: torch.device
    call_seconds: float

    @property
    def n_calls(self) -> int:
        """Number of calls in a turn."""
        return max(1, math.ceil(STRETCH_SECONDS / self.call_seconds))

    def turn(self) -> None:
        """Make the calls of a turn, synchronising the device after each one."""
        for _ in range(self.n_calls):
            self.run()
            synchronize(self.device)


class AlternatingTimer:
    """Collects the answers to each question, and times them in turns when all are there.

    Args:
        seconds: time for the rounds of one answer, from `bench.micro.stopwatch.SECONDS`.
        now: seconds on a monotonic clock.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.perf_counter) -> None:
        self._seconds, self._now = seconds, now
        self._questions: dict[tuple[str, int | None, str], dict[str, _Answer]] = {}

    def add(
        self,
        subject: Subject,
        run: Callable[[], object],
        device: torch.device,
        call_seconds: float,
    ) -> None:
        """Add an answer, with the approximate duration of a call."""
        question = subject.series, subject.T, device.type
        answers = self._questions.setdefault(question, {})
        answers[subject.name] = _Answer(run, device, call_seconds)

    def take(self) -> list[QuestionTimes]:
        """Time all questions with at least two answers, and drop them."""
        questions, self._questions = self._questions, {}
        return [
            QuestionTimes(series=series, T=T, device=device, seconds=self._time(answers))
            for (series, T, device), answers in questions.items()
            if len(answers) > 1
        ]

    def _time(self, answers: Mapping[str, _Answer]) -> dict[str, NDArray[np.float64]]:
        a_round = 2 * sum(a.n_calls * a.call_seconds for a in answers.values())
        rounds = SHARE * self._seconds * len(answers) / a_round
        seconds = interleave(
            {name: answer.turn for name, answer in answers.items()},
            rounds=int(min(max(rounds, MIN_ROUNDS), MAX_ROUNDS)),
            now=self._now,
        )
        return {name: turns / answers[name].n_calls for name, turns in seconds.items()}
