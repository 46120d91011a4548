"""Devices: those that are there, never another in their place; and how much memory they took."""

from pathlib import Path

import pytest
import torch

import gpt.device
from gpt.device import (
    available_devices,
    device_name,
    peak_memory_bytes,
    product_dtype,
    reset_peak_memory,
    resolve_device,
    synchronize,
)
from gpt.errors import MachineError

CPU = torch.device("cpu")
MIB = 1 << 20


@pytest.fixture(params=["cpu", "mps cpu", "cuda cpu", "cuda mps cpu"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The devices of a machine that has those of `request`, best first."""
    there: list[str] = request.param.split()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in there)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in there)
    return there


def test_auto_takes_the_best(machine: list[str]) -> None:
    assert available_devices() == machine
    assert resolve_device("auto").type == machine[0]


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
def test_a_device_is_given_as_asked_or_refused(device: str, machine: list[str]) -> None:
    if device in machine:
        assert resolve_device(device).type == device
        return
    with pytest.raises(MachineError) as error:
        resolve_device(device)
    there = ", ".join(machine)
    assert str(error.value) == f"device must be one of this machine's ({there}) but got {device}"


def test_peak_memory_holds_a_large_allocation_after_it_is_gone() -> None:
    reset_peak_memory(CPU)
    before = peak_memory_bytes(CPU)

    torch.ones(64 * MIB, dtype=torch.uint8)

    assert before + 60 * MIB < peak_memory_bytes(CPU) < before + 200 * MIB


@pytest.mark.skipif(not gpt.device._CLEAR_REFS.exists(), reason="the peak can't be reset here")
def test_peak_memory_begins_anew() -> None:
    torch.ones(64 * MIB, dtype=torch.uint8)
    high = peak_memory_bytes(CPU)

    reset_peak_memory(CPU)

    assert peak_memory_bytes(CPU) < high - 30 * MIB


def test_peak_memory_where_the_system_tells_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some containers have a /proc/self/status without a high-water mark."""
    status = tmp_path / "status"
    status.write_text("Name: python\n")
    monkeypatch.setattr(gpt.device, "_STATUS", status)

    assert peak_memory_bytes(CPU) > 10 * MIB


def test_the_cpu_has_a_name_and_is_always_done() -> None:
    assert device_name(CPU)
    synchronize(CPU)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True}, torch.float32),
        ({"avx512_f": True, "avx512_vnni": True, "avx512_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
    ],
)
def test_products_are_in_bfloat16_only_where_hardware_multiplies_it(
    capabilities: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert product_dtype.__wrapped__(CPU) is expected
    assert product_dtype.__wrapped__(torch.device("mps")) is torch.float32
