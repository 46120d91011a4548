"""How fast can this machine multiply and copy at best? Measured, not read from a data sheet.

A benchmark's throughput is shown as a share of these ceilings. A throughput above them is
impossible: the clock, the count or the synchronisation is wrong, and the benchmark is refused.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from gpt.device import synchronize

MARGIN = 1.15
"""Up to this many times the ceiling counts as noise: ceilings are measurements too."""

MATRIX_SIDES = {"cpu": (128, 256, 512, 1024), "mps": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}
COPY_BYTES = tuple(1 << power for power in range(14, 28, 2))
"""Sizes that are copied: from 16 kB, which fits any cache, to 64 MB, which fits few."""

PROBE_SECONDS = 0.05


@dataclass(frozen=True)
class Ceilings:
    """The highest rates of a device in one dtype, with the number of threads that was set."""

    matmul_flops_per_second: float
    """The result of `measure_matmul`."""

    copy_bytes_per_second: Mapping[int, float]
    """Bytes read and written in a second, by the size of the working set in bytes."""

    def copy_bytes_per_second_at(self, working_set_bytes: int) -> float:
        """The highest rate for sets at least half as large; smaller ones fit a faster cache."""
        fits = [
            speed
            for size, speed in self.copy_bytes_per_second.items()
            if 2 * size >= working_set_bytes
        ]
        return max(fits, default=self.copy_bytes_per_second[max(self.copy_bytes_per_second)])

    def best_with(self, other: "Ceilings") -> "Ceilings":
        """The better of two measurements: load on a machine does not lower its ceilings."""
        return Ceilings(
            max(self.matmul_flops_per_second, other.matmul_flops_per_second),
            {
                size: max(speed, other.copy_bytes_per_second[size])
                for size, speed in self.copy_bytes_per_second.items()
            },
        )


def measure_matmul(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of the best square matrix product for work in this dtype.

    A CPU without reduced-precision arithmetic emulates it, several times slower than float32. Code
    whose tensors are in that precision then does better to multiply in float32, as attention
    kernels do. So on a CPU the ceiling is the higher of the two rates.
    """
    allowed = {dtype, torch.float32} if device.type == "cpu" else {dtype}
    return max(_best_product(device, one) for one in allowed)


def _best_product(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of the best square matrix product."""
    speeds = []
    for side in MATRIX_SIDES[device.type]:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        seconds = _fastest(lambda a=a, b=b: a @ b, device)  # type: ignore[misc]
        speeds.append(2 * side**3 / seconds)
    return max(speeds)


def measure_ceilings(device: torch.device, dtype: torch.dtype) -> Ceilings:
    """Measure both; takes about a second."""
    copy = {}
    for n_bytes in COPY_BYTES:
        source = torch.ones(n_bytes // dtype.itemsize, device=device, dtype=dtype)
        target = torch.empty_like(source)
        seconds = _fastest(lambda s=source, t=target: t.copy_(s), device)  # type: ignore[misc]
        copy[2 * n_bytes] = 2 * n_bytes / seconds
    return Ceilings(measure_matmul(device, dtype), copy)


def _fastest(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of as many calls as `PROBE_SECONDS` holds, and of three at least."""
    run()
    synchronize(device)
    times: list[float] = []
    while len(times) < 3 or sum(times) < PROBE_SECONDS:
        start = time.perf_counter()
        run()
        synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times)
