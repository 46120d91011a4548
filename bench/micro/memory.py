"""How much memory does one call need, apart from its inputs?

On the CPU torch's profiler reports every allocation; the process's resident set would hide small
ones, because freed memory is rarely returned to the system. On CUDA the allocator records the peak
itself; on MPS nothing does.
"""

import json
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from bench.system.scratch import scratch_folder
from gpt.device import synchronize

CPU_DEVICE_TYPE = 0
"""The CPU's number in the profiler's events."""


def call_peak_bytes(run: Callable[[], object], device: torch.device) -> int | None:
    """The peak of what one call allocated; None where the device does not record it."""
    if device.type == "cuda":
        return _cuda_peak(run, device)
    return _cpu_peak(run) if device.type == "cpu" else None


def _cuda_peak(run: Callable[[], object], device: torch.device) -> int:
    synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _cpu_peak(run: Callable[[], object]) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    with scratch_folder() as folder:
        path = folder / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_bytes())["traceEvents"]
    changes = [
        (event["ts"], event["args"]["Bytes"])
        for event in events
        if event["name"] == "[memory]" and event["args"]["Device Type"] == CPU_DEVICE_TYPE
    ]
    allocated = peak = 0
    for _, change in sorted(changes, key=lambda change: change[0]):
        allocated += change
        peak = max(peak, allocated)
    return peak
