"""Freed memory: kept where it is asked for, given back between runs. In processes of their own."""

import subprocess
import sys

import pytest

from gpt.acceleration.malloc import keep_freed_memory

FAULTS = """
import resource, sys, torch
from gpt.acceleration.malloc import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def step():
    a, b = torch.ones(9_000_000), torch.ones(9_000_000)  # more than glibc ever keeps by itself
for _ in range(20):  # small blocks settle between the large ones at first
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

PEAK = """
import torch
from gpt.device import peak_memory_bytes, reset_peak_memory
from gpt.acceleration.malloc import keep_freed_memory
assert keep_freed_memory()
cpu = torch.device("cpu")
before = peak_memory_bytes(cpu)
earlier = torch.ones(100_000_000)
assert peak_memory_bytes(cpu) > before + 300_000_000
del earlier
reset_peak_memory(cpu)
print(peak_memory_bytes(cpu) - before)
"""


def number_from(script: str, *arguments: str) -> int:
    command = [sys.executable, "-c", script, *arguments]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.fixture(scope="module", autouse=True)
def _glibc() -> None:
    if (
        number_from("from gpt.acceleration.malloc import keep_freed_memory as k; print(int(k()))")
        == 0
    ):
        pytest.skip("this system's C library is not glibc")


@pytest.mark.slow
def test_a_step_finds_the_memory_of_the_last_one_in_place() -> None:
    assert number_from(FAULTS, "returned") > 20_000
    assert number_from(FAULTS, "kept") < 2_000


def test_memory_that_an_earlier_run_freed_does_not_count_for_the_next() -> None:
    assert number_from(PEAK) < 50_000_000


def test_where_there_is_no_glibc_nothing_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt.acceleration.malloc._glibc", lambda: None)
    assert not keep_freed_memory()
