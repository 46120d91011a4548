"""Time one benchmark: warm up, wait for the device before and after, and count the work.

pytest-benchmark keeps the times. Stored beside them: arithmetic, bytes and memory, their share of
the machine's ceilings, and what was used to measure.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from bench.micro.accounting import Work
from bench.micro.memory import call_peak_bytes
from bench.timing.ceilings import MARGIN, Ceilings, measure_ceilings
from gpt.device import device_name, synchronize

WARM_UP_CALLS = 3
MIN_ROUNDS, MAX_ROUNDS = 5, 500
SECONDS = {"tiny": 0.0, "quick": 0.2, "full": 1.0}
"""What the rounds of one benchmark take together, unless the fewest take longer."""

DTYPE_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


class ImpossibleError(Exception):
    """A throughput that is impossible on this machine."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is timed, and its name in the results."""

    series: str
    """The question without its T: `attention forward, fp32`. A curve in a picture is one `name`
    of a series over T."""

    name: str
    """The contestant, such as a kernel or a tokenizer."""

    T: int | None = None
    """Tokens in a sequence; None where that is not what varies."""

    @property
    def group(self) -> str:
        """The question, as a heading."""
        return self.series if self.T is None else f"{self.series}, T = {self.T}"


class Stopwatch:
    """Times subjects on devices with pytest-benchmark's fixture, and knows their ceilings.

    Args:
        seconds: for the rounds of a benchmark; 0 measures neither memory nor ceilings.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ceilings: dict[tuple[str, torch.dtype], Ceilings] = {}

    def time(
        self,
        benchmark: Any,
        run: Callable[[], object],
        subject: Subject,
        work: Work,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> None:
        """Time `run` by the fixture `benchmark`; once, untimed, where benchmarks are disabled.

        Args:
            dtype: None for work on text.

        Raises:
            ImpossibleError: it was faster than this machine can be.
        """
        benchmark.group = subject.group

        def synchronized() -> None:
            run()
            synchronize(device)

        if benchmark.disabled:
            benchmark.pedantic(synchronized)
            return
        warm_up = [_seconds_of(synchronized) for _ in range(WARM_UP_CALLS)]
        rounds = int(min(max(self._seconds / min(warm_up), MIN_ROUNDS), MAX_ROUNDS))
        benchmark.pedantic(synchronized, setup=lambda: synchronize(device), rounds=rounds)
        try:
            achieved = self._achieved(
                benchmark.stats["median"], work, device, dtype or torch.float32
            )
        except ImpossibleError:
            benchmark.has_error = True  # keeps the time out of what is saved
            raise
        benchmark.extra_info.update(
            asdict(subject),
            **achieved,
            peak_memory_bytes=None if dtype is None else call_peak_bytes(run, device),
            device=device.type,
            device_name=device_name(device),
            dtype="text" if dtype is None else str(dtype).removeprefix("torch."),
            threads=torch.get_num_threads(),
        )

    def _achieved(
        self, seconds: float, work: Work, device: torch.device, dtype: torch.dtype
    ) -> dict[str, float]:
        """Work, throughput and ceilings. A throughput over its ceiling has that measured again."""
        key = device.type, dtype
        if key not in self._ceilings:
            self._ceilings[key] = measure_ceilings(device, dtype)
        shares = _shares(seconds, work, self._ceilings[key])
        if max(shares.values()) > MARGIN:
            again = measure_ceilings(device, dtype)
            self._ceilings[key] = self._ceilings[key].best_with(again)
            shares = _shares(seconds, work, self._ceilings[key])
        for name, share in shares.items():
            if share > MARGIN:
                raise ImpossibleError(
                    f"throughput must not exceed the {name} ceiling but was {share:.2f} of it: "
                    "is the device waited for, and the work counted right?"
                )
        ceilings = self._ceilings[key]
        return {
            "flops": work.flops,
            "bytes": work.bytes,
            "gflop_per_second": work.flops / seconds / 1e9,
            "gigabytes_per_second": work.bytes / seconds / 1e9,
            "matmul_ceiling_gflop_per_second": ceilings.matmul_flops_per_second / 1e9,
            "copy_ceiling_gigabytes_per_second": ceilings.copy_bytes_per_second_at(work.bytes)
            / 1e9,
            "share_of_matmul_ceiling": shares["matmul"],
            "share_of_copy_ceiling": shares["copy"],
        }


def _shares(seconds: float, work: Work, ceilings: Ceilings) -> dict[str, float]:
    copy = ceilings.copy_bytes_per_second_at(work.bytes)
    return {
        "matmul": work.flops / seconds / ceilings.matmul_flops_per_second,
        "copy": work.bytes / seconds / copy,
    }


def _seconds_of(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
