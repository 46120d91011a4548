"""Cores: those that the system grants, and of them no more than a container's quota pays for."""

import os
from pathlib import Path

import pytest

from bench.system import cores
from bench.system.cores import cpu_count, cpu_quota, granted_cores


def cgroup(root: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """A made-up file system of cgroups, and what says in which of them a process is."""
    for name, content in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
    (root / "own").write_text(own, "utf-8")
    return root / "cgroup", root / "own"


V1 = "4:memory:/job\n3:cpuset:/\n2:cpu,cpuacct:/job\n0::/\n"


@pytest.mark.parametrize(
    ("own", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 50000"}, 4.0),
        ("0::/a/b\n", {"a/b/cpu.max": "100000 100000", "a/cpu.max": "300000 100000"}, 1.0),
        ("0::/of/the/host\n", {"cpu.max": "300000 100000"}, 3.0),
        (V1, {"cpu,cpuacct/job/cpu.cfs_quota_us": "250000",
              "cpu,cpuacct/job/cpu.cfs_period_us": "100000"}, 2.5),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "400000",
              "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 4.0),
        (V1, {"cpu,cpuacct/job/cpu.cfs_quota_us": "-1",
              "cpu,cpuacct/job/cpu.cfs_period_us": "100000"}, None),
        (V1, {"cpuset/cpu.cfs_quota_us": "100000", "cpuset/cpu.cfs_period_us": "100000"}, None),
        ("", {"cpu.max": "100000 100000"}, None),
        ("0::/\n", {"cpu.max": "garbage"}, None),
    ],
)  # fmt: skip
def test_the_quota_is_the_least_of_the_groups_that_hold_a_process(
    tmp_path: Path, own: str, files: dict[str, str], quota: float | None
) -> None:
    assert cpu_quota(*cgroup(tmp_path, own, files)) == quota


def test_a_system_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "no", tmp_path / "such") is None


@pytest.mark.parametrize(
    ("granted", "quota", "n"),
    [(8, "250000 100000", 2), (2, "600000 100000", 2), (8, "50000 100000", 1), (8, "max 1", 8)],
)
def test_no_more_cores_are_counted_than_are_paid_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, granted: int, quota: str, n: int
) -> None:
    cgroups, own = cgroup(tmp_path, "0::/\n", {"cpu.max": quota})
    monkeypatch.setattr(cores, "_CGROUPS", cgroups)
    monkeypatch.setattr(cores, "_OWN", own)
    monkeypatch.setattr(cores, "granted_cores", lambda: granted)
    assert cpu_count() == n


def test_there_is_a_core_to_work_on() -> None:
    assert 1 <= cpu_count() <= granted_cores() <= (os.cpu_count() or 1)


def test_python_s_own_count_is_taken_where_it_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 7, raising=False)
    assert granted_cores() == 7
