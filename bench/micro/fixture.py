"""The fixtures of a benchmark's function: where to run, and how to time or refuse its subject.

A subject is timed, or it is left out with a reason: it is not available here, or it is wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest
import torch

from bench.micro.accounting import Work
from bench.micro.alternating import AlternatingTimer
from bench.micro.stopwatch import DTYPE_NAMES, ImpossibleError, Stopwatch, Subject

LEFT_OUT = pytest.StashKey[list[dict[str, str]]]()
"""The subjects without a time in this session, and why."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and in which precision something is timed."""

    device: torch.device
    dtype: torch.dtype

    @property
    def dtype_name(self) -> str:
        """Short: fp32, bf16, fp16."""
        return DTYPE_NAMES[self.dtype]

    def __str__(self) -> str:
        return f"{self.device.type}-{self.dtype_name}"


class Timed:
    """Times a subject that is ready, or leaves it out with a reason."""

    def __init__(
        self, config: pytest.Config, benchmark: Any, stopwatch: Stopwatch, turns: AlternatingTimer
    ) -> None:
        self._config, self._benchmark = config, benchmark
        self._stopwatch, self._turns = stopwatch, turns

    def __call__(
        self,
        run: Callable[[], object],
        subject: Subject,
        work: Work,
        device: torch.device,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Time it, and keep it to be timed in turns with the other answers to its question.

        A throughput that can't be fails the benchmark and has no time.
        """
        try:
            self._stopwatch.time(self._benchmark, run, subject, work, device, dtype)
        except ImpossibleError as error:
            reason = str(error)
        else:
            if not self._benchmark.disabled:
                self._turns.add(subject, run, device, float(self._benchmark.stats["median"]))
            return
        self.refuse_wrong(subject, reason)

    def skip_absent(self, subject: Subject, reason: str) -> NoReturn:
        """Leave it out because it can't run here."""
        self._leave_out(subject, reason)
        pytest.skip(reason)

    def refuse_wrong(self, subject: Subject, reason: str) -> NoReturn:
        """Leave it out because its result is wrong; the test fails."""
        self._leave_out(subject, f"wrong: {reason}")
        pytest.fail(f"{subject.name} gets no time in {subject.group!r}: {reason}", pytrace=False)

    def _leave_out(self, subject: Subject, reason: str) -> None:
        self._config.stash[LEFT_OUT].append(
            {
                "series": subject.series,
                "group": subject.group,
                "name": subject.name,
                "reason": reason,
            }
        )
