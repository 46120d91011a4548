"""How many cores may this process use? Those that the system grants it, within its quota.

A container sees every core of its machine, but the kernel stops it for the rest of each period
once its quota is used. With a worker for each visible core the workers would be stopped again and
again, and timings would show little else. The quota belongs to a cgroup (Linux): `cpu.max` in
version 2, `cpu.cfs_quota_us` in version 1 (https://docs.kernel.org/admin-guide/cgroup-v2.html,
https://docs.kernel.org/scheduler/sched-bwc.html).
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def cpu_count() -> int:
    """Whole cores that this process may use, at least one."""
    quota = cpu_quota(_CGROUPS, _OWN)
    return granted_cores() if quota is None else max(1, min(granted_cores(), int(quota)))


def granted_cores() -> int:
    """Cores that the system lets this process run on, whatever its quota."""
    if hasattr(os, "process_cpu_count"):  # since Python 3.13
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(cgroups: Path, own: Path) -> float | None:
    """Cores' worth of time that this process may use, None without a limit.

    This is the smallest quota among its own cgroup and that group's ancestors.

    Args:
        cgroups: where the file systems of cgroups are mounted.
        own: the list of the process's cgroups, a line `number:controllers:path` each.
    """
    quotas = []
    with suppress(OSError):
        for line in own.read_text("utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            for folder in _holders(cgroups / controllers, path):
                quota = _quota_v1(folder) if controllers else _quota_v2(folder)
                quotas += [quota] if quota is not None else []
    return min(quotas, default=None)


def _holders(root: Path, path: str) -> Iterator[Path]:
    """A cgroup's folder and those above it; in a container its own may be `root` itself."""
    folder = root / path.lstrip("/")
    yield from [folder, *folder.parents][: len(Path(path.lstrip("/")).parts) + 1]


def _quota_v2(folder: Path) -> float | None:
    """The quota in `cpu.max`: "QUOTA PERIOD" in microseconds, or "max PERIOD" without a limit."""
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text("utf-8").split()
        return float(quota) / float(period)  # "max" raises ValueError: no limit
    return None


def _quota_v1(folder: Path) -> float | None:
    with suppress(OSError, ValueError):
        quota, period = (
            float((folder / f"cpu.cfs_{name}_us").read_text("utf-8"))
            for name in ("quota", "period")
        )
        return quota / period if quota > 0 else None
    return None
