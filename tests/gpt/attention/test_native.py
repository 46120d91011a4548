"""The C++ attention kernel: right on any layout, built once and only when it is asked for.

That it computes what all kernels must is `test_attention.py`'s to say.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gpt.attention.cpp.library as library
from gpt.attention import KERNELS
from gpt.attention.cpp.attention import OPERATORS, native
from gpt.attention.plain import matmul
from gpt.attention.verify import verify
from gpt.config import ModelConfig
from gpt.model.gpt import build_model
from gpt.training.setup import Setup

ROUNDING = 2**-8
"""How far a number is from the nearest bfloat16, as a share of it."""

B, H, T, D = 2, 3, 37, 20


@pytest.fixture
def _kernel() -> None:
    """Skips the test where the kernel can't be compiled; asked by tests that need it alone."""
    if isinstance(reason := library._load(), str):
        pytest.skip(f"no C++ kernel: {reason}")


needs_kernel = pytest.mark.usefixtures("_kernel")


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normally distributed, in bfloat16."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def relative_error(found: Tensor, exact: Tensor) -> float:
    return float((found.detach().double() - exact.detach()).norm() / exact.detach().norm())


def contiguous(seed: int) -> Tensor:
    return random(B, H, T, D, seed=seed)


def of_one_matrix(seed: int) -> Tensor:
    """As the model makes q, k and v: a third of (B, T, 3, H, D)."""
    return random(B, T, 3, H, D, seed=seed)[:, :, seed % 3].transpose(1, 2)


def rotated(seed: int) -> Tensor:
    """As rotary positions leave q and k: a half of (B, H, 2, T, D)."""
    return random(B, H, 2, T, D, seed=seed)[:, :, seed % 2]


def with_scattered_channels(seed: int) -> Tensor:
    return random(B, H, D, T, seed=seed).transpose(2, 3)


LAYOUTS = [contiguous, of_one_matrix, rotated, with_scattered_channels]


@needs_kernel
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_the_layout_of_its_arguments_changes_nothing(layout: Callable[[int], Tensor]) -> None:
    leaves = [layout(seed).detach().requires_grad_() for seed in range(3)]
    exact_leaves = [leaf.detach().double().requires_grad_() for leaf in leaves]
    grad_out = layout(3)

    out, exact = native(*leaves, scale=0.3), matmul(*exact_leaves, scale=0.3)
    found = torch.autograd.grad(out, leaves, grad_out)
    expected = torch.autograd.grad(exact, exact_leaves, grad_out.double())

    assert relative_error(out, exact) < ROUNDING
    assert max(map(relative_error, found, expected)) < 2 * ROUNDING


def arguments_of(name: str) -> tuple[object, ...]:
    """Of an operator, for the tests that try both."""
    qkv = [of_one_matrix(seed) for seed in range(3)]
    if name == "attention":
        return (*qkv, 0.25)
    return (of_one_matrix(3), *qkv, *OPERATORS.attention(*qkv, 0.25), 0.25)


BOTH = pytest.mark.parametrize("name", ["attention", "attention_backward"])


@needs_kernel
@BOTH
def test_threads_change_nothing(name: str) -> None:
    arguments, before = arguments_of(name), torch.get_num_threads()
    results = []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            results.append(getattr(OPERATORS, name)(*arguments))
    finally:
        torch.set_num_threads(before)

    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


@needs_kernel
@BOTH
def test_the_compiler_is_told_the_right_shapes(name: str) -> None:
    checks = ("test_schema", "test_faketensor")
    operator = getattr(OPERATORS, name).default
    torch.library.opcheck(operator, arguments_of(name), test_utils=checks)


@needs_kernel
@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_model_computes_the_same_with_it(position: str) -> None:
    config = ModelConfig(block_size=64, n_head=2, n_embd=32, position=position)  # type: ignore[arg-type]
    idx = torch.randint(50, (2, 64), generator=torch.Generator().manual_seed(0))
    grads = []
    for kernel, dtype in [("native", torch.bfloat16), ("matmul", torch.float64)]:
        torch.manual_seed(0)
        model = build_model(replace(config, kernel=kernel), 50).to(dtype)  # type: ignore[arg-type]
        loss = model.logits(idx).float().logsumexp(-1).square().mean()
        found = torch.autograd.grad(loss, list(model.parameters()))
        grads.append(torch.cat([gradient.flatten().double() for gradient in found]))

    assert relative_error(*grads) < 0.03


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_another_dtype_is_refused_by_name(dtype: torch.dtype) -> None:
    said = KERNELS["native"].unavailable("cpu", dtype)
    assert said is not None
    assert f"must compute in bfloat16 on a CPU but got {dtype}" in said


def test_the_signatures_are_those_of_the_source() -> None:
    """Declared once, in attention.cpp; Python reads them there."""
    source = library.SOURCE.read_text()
    found = library.signatures(source)
    exported = source[source.index('extern "C"') :]

    assert set(found) == set(re.findall(r"\bgpt_\w+(?=\()", exported))
    pointer, size = library.ctypes.c_void_p, library.ctypes.c_int64
    assert found["gpt_attention"] == [
        *[pointer] * 6, library.ctypes.c_float, *[size] * 4, library.ctypes.c_int,
    ]  # fmt: skip
    assert found["gpt_attention_backward"][:10] == [pointer] * 10


@pytest.fixture
def unloaded() -> Iterator[None]:
    """The kernel counts as not yet looked for, and what the test finds is forgotten."""
    library._load.cache_clear()
    yield
    library._load.cache_clear()


@pytest.fixture
def no_compiler(unloaded: None, monkeypatch: pytest.MonkeyPatch) -> list[object]:  # noqa: ARG001
    """The commands by which a compiler was to be started; none is."""
    started: list[object] = []

    def start(command: list[str]) -> str:
        started.append(command)
        raise OSError("no compiler may be started")

    monkeypatch.setattr(library, "_run", start)
    return started


@pytest.mark.parametrize("kernel", ["sdpa", "auto"])
def test_a_float32_run_compiles_nothing(
    kernel: str, no_compiler: list[object], run: Callable[..., list[Any]]
) -> None:
    run(kernel=kernel, steps=2)
    assert no_compiler == []


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_another_device_compiles_nothing(device: str, no_compiler: list[object]) -> None:
    said = KERNELS["native"].unavailable(device, torch.bfloat16)
    assert said == f"native exists for cpu, not for {device}"
    assert no_compiler == []


def test_a_bfloat16_run_with_another_kernel_compiles_nothing(
    no_compiler: list[object], run: Callable[..., list[Any]]
) -> None:
    run(dtype="bfloat16", kernel="matmul", loss_head="chunked", fused=True, steps=2)
    assert no_compiler == []


def test_auto_asks_for_it_in_bfloat16_and_does_without(
    no_compiler: list[object], settle: Callable[..., Setup]
) -> None:
    setup = settle(dtype="bfloat16", kernel="auto", device="cpu")
    assert len(no_compiler) == 1
    assert setup.config.model.kernel != "native"


def in_a_new_process(code: str, **environment: str) -> str:
    """What it prints; the kernel is looked for once a process."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@needs_kernel
def test_without_tiles_lanes_compute_the_same(tmp_path: Path) -> None:
    """As on a processor that has AVX-512's bfloat16, and no AMX."""
    code = """
import torch
import gpt.attention.cpp.library as library
library.FLAGS += ("-mno-amx-tile", "-mno-amx-bf16", "-mno-amx-int8")
from gpt.attention import KERNELS
from gpt.attention.verify import verify
print(verify(KERNELS["native"], "cpu", torch.bfloat16, T=100, D=40).reason)
"""
    assert in_a_new_process(code, GPT_BENCH_CACHE=str(tmp_path)) == "None"


@needs_kernel
def test_who_comes_together_compiles_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled, run = [], library._run

    def counting(command: list[str]) -> str:
        compiled.extend(part for part in command if part == "-c")
        return run(command)

    monkeypatch.setattr(library, "_run", counting)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(library._build, [tmp_path, tmp_path])

    assert one == other
    assert one.is_file()
    assert compiled == ["-c"]
    assert library._build(tmp_path) == one
    assert compiled == ["-c"]

    whole = one.read_bytes()
    one.unlink()
    one.write_bytes(bytes(len(whole)))
    assert library._build(tmp_path) == one
    assert one.read_bytes()[:4] == whole[:4]
    assert compiled == ["-c", "-c"]


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"CXX": "/no/such/compiler"}, "/no/such/compiler"),
        ({"CXX": "false"}, "returned non-zero exit status 1"),
        ({"GPT_BENCH_CACHE": "/dev/null"}, "the cache /dev/null/native must be writable"),
        ({"CXX": "c++ -mno-avx512bf16"}, "has no AVX-512 bfloat16"),
    ],
)
def test_without_it_the_kernel_is_absent_and_says_why(
    environment: dict[str, str],
    why: str,
    unloaded: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "GPT_BENCH_CACHE" in environment and isinstance(library._load(), str):
        pytest.skip("the compiler is refused before the cache is")
    library._load.cache_clear()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    said = KERNELS["native"].unavailable("cpu", torch.bfloat16)

    assert said is not None
    assert said.startswith("the C++ kernel must be compiled for this machine but")
    assert why in said


@needs_kernel
def test_the_lanes_of_this_machine_are_right() -> None:
    assert verify(KERNELS["native"], "cpu", torch.bfloat16, T=100, D=40).right
