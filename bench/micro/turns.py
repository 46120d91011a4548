"""The answers to one question, timed once more, in turns: what says which of them is faster.

pytest-benchmark times one answer after another, so that between two of its times lies what the
machine did meanwhile. What is fastest is asked of these times instead. An answer's turn is a
stretch of calls, so that what its neighbour left in the caches weighs little.
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
"""Of the seconds that an answer's own rounds take, unless the fewest rounds take longer."""

MIN_ROUNDS, MAX_ROUNDS = 10, 100

STRETCH_SECONDS = 0.001
"""That a turn takes, unless one call takes longer."""


@dataclass(frozen=True, kw_only=True)
class InTurns:
    """One question, and how long its answers took in turns."""

    series: str
    T: int | None
    device: str

    seconds: Mapping[str, NDArray[np.float64]]
    """Answer -> seconds a call, (rounds, 2): the way there and the way back."""

    def to_json(self) -> dict[str, Any]:
        """As it is saved."""
        seconds = {name: array.tolist() for name, array in self.seconds.items()}
        return {"series": self.series, "T": self.T, "device": self.device, "seconds": seconds}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        """From what `to_json` gave."""
        seconds = {name: np.array(rounds) for name, rounds in saved["seconds"].items()}
        return cls(series=saved["series"], T=saved["T"], device=saved["device"], seconds=seconds)


@dataclass(frozen=True)
class _Answer:
    run: Callable[[], object]
    device: torch.device
    call_seconds: float

    @property
    def n_calls(self) -> int:
        """In a turn."""
        return max(1, math.ceil(STRETCH_SECONDS / self.call_seconds))

    def turn(self) -> None:
        """The device is waited for after each call, as where it is timed alone."""
        for _ in range(self.n_calls):
            self.run()
            synchronize(self.device)


class Turns:
    """Keeps what was timed, until all answers to its question are there.

    Args:
        seconds: that the rounds of one answer may take, as `bench.micro.stopwatch.SECONDS` says.
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
        """One more answer, of which a call takes about so many seconds."""
        question = subject.series, subject.T, device.type
        answers = self._questions.setdefault(question, {})
        answers[subject.name] = _Answer(run, device, call_seconds)

    def take(self) -> list[InTurns]:
        """Time all questions that have two answers or more, and forget them."""
        questions, self._questions = self._questions, {}
        return [
            InTurns(series=series, T=T, device=device, seconds=self._time(answers))
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
