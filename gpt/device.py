"""Which devices are there, when are they done, and how much memory did they need?

Devices compute asynchronously: a time read without `synchronize` is the time to queue the work,
not to do it.
"""

import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil
import torch

from gpt.acceleration.malloc import return_freed_memory
from gpt.errors import MachineError

try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None  # type: ignore[assignment]

_CLEAR_REFS = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def available_devices() -> list[str]:
    """The kinds of device of this machine, best first; the CPU is always among them."""
    devices = ["cpu"]
    if torch.backends.mps.is_available():
        devices.insert(0, "mps")
    if torch.cuda.is_available():
        devices.insert(0, "cuda")
    return devices


def resolve_device(requested: str) -> torch.device:
    """The device asked for; `auto` is the best there is.

    Raises:
        MachineError: if it is not there. It is never replaced by another.
    """
    available = available_devices()
    if requested == "auto":
        return torch.device(available[0])
    if requested not in available:
        raise MachineError(
            f"device must be one of this machine's ({', '.join(available)}) but got {requested}"
        )
    return torch.device(requested)


@cache
def product_dtype(device: torch.device) -> torch.dtype:
    """The dtype in which this device multiplies matrices fastest, for `dtype="auto"`: bfloat16
    where the hardware has it, else float32, because emulated bfloat16 is several times slower."""
    if device.type == "cuda":
        fast = bool(torch.cuda.is_bf16_supported(including_emulation=False))
    else:
        capabilities = torch.cpu.get_capabilities() if device.type == "cpu" else {}
        fast = any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return torch.bfloat16 if fast else torch.float32


def device_name(device: torch.device) -> str:
    """The hardware behind a device, as its maker calls it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU"
    return torch.cpu.get_capabilities().get("cpu_name") or _cpu_model()


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown CPU")


def synchronize(device: torch.device) -> None:
    """Return when the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def reset_peak_memory(device: torch.device) -> None:
    """Begin a new measurement of peak memory, where the system can.

    What an earlier run has freed is given back before, or it would count for this one.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif device.type == "cpu" and _CLEAR_REFS.exists():
        return_freed_memory()
        with suppress(OSError):  # some containers forbid it
            _CLEAR_REFS.write_text("5", "utf-8")  # the high-water mark becomes what is in use now


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory in use since `reset_peak_memory`.

    On CUDA: torch's own allocations; the private memory of a CUDA graph counts while the graph is
    captured. On MPS: what the driver holds now, for it keeps no peak. On the CPU: the process's
    resident set, the interpreter and torch included.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    lines = _STATUS.read_text("utf-8").splitlines() if _STATUS.exists() else []
    if high_water := [line for line in lines if line.startswith("VmHWM:")]:
        return int(high_water[0].split()[1]) * 1024
    if resource is None:
        return int(psutil.Process().memory_info().peak_wset)  # Windows' own word for it
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
