"""The C++ kernels as a library: called by threads and compilers, built, and done without."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from native_kernels import needs_kernels, random

from gpt.attention import KERNELS
from gpt.config import RunConfig
from gpt.native.operators import OPERATORS

pytestmark = needs_kernels

HEAD = random(600, 64), random(97, 64), torch.arange(600) % 97, torch.ones(600)

TOKENS, ANGLES = random(2, 150, 32), (random(150, 8, seed=1), random(150, 8, seed=2))
SHAPES = (32,), (96, 32), (32, 32), (32,), (128, 32), (32, 128)
WEIGHTS = [random(*shape, seed=i) for i, shape in enumerate(2 * SHAPES)]
SETTINGS = 2, 0.25, 1e-5, True, True, 2, False
"""Of blocks with two heads."""

CALLS: dict[str, Callable[[], tuple[object, ...]]] = {
    "attention": lambda: (random(2, 40, 3, 2, 16), 0.25),
    "attention_backward": lambda: (
        random(2, 40, 2, 16, seed=1),
        qkv := random(2, 40, 3, 2, 16),
        *OPERATORS.attention(qkv, 0.25),
        0.25,
    ),
    "activation": lambda: (random(50, 1000), 2),
    "activation_backward": lambda: (random(50, 1000), random(50, 1000, seed=1), 2),
    "weight_gradient": lambda: (random(600, 70), random(600, 90)),
    "linear": lambda: (random(2, 300, 64), random(96, 64), False),
    "linear_backward": lambda: (random(600, 96), random(2, 300, 64), random(96, 64), False),
    "linear_int8": lambda: (random(2, 300, 64), random(96, 64), True),
    "linear_backward_int8": lambda: (random(600, 96), random(2, 300, 64), random(96, 64), True),
    "mlp": lambda: (random(2, 300, 64), random(128, 64), random(64, 128), 2),
    "mlp_backward": lambda: (
        random(2, 300, 64, seed=1),
        x := random(2, 300, 64),
        OPERATORS.mlp(x, random(128, 64), random(64, 128), 2)[1],
        random(128, 64),
        random(64, 128),
        2,
    ),
    "norm": lambda: (random(5, 60, 40), random(40), 1e-5, True),
    "norm_backward": lambda: (
        random(5, 60, 40, seed=1),
        x := random(5, 60, 40),
        random(40),
        OPERATORS.norm(x, random(40), 1e-5, True)[1],
        True,
    ),
    "turn": lambda: (random(2, 40, 3, 2, 16), random(40, 8), random(40, 8), True),
    "turn_backward": lambda: (
        random(2, 40, 3, 2, 16, seed=1),
        random(2, 40, 3, 2, 16),
        random(40, 8),
        random(40, 8),
        True,
    ),
    "head": lambda: (*HEAD, False),
    "head_int8": lambda: (*HEAD, True),
    "blocks": lambda: (TOKENS, WEIGHTS, *ANGLES, *SETTINGS),
    "blocks_backward": lambda: (
        random(*TOKENS.shape, seed=1),
        OPERATORS.blocks(TOKENS, WEIGHTS, *ANGLES, *SETTINGS)[1:],
        TOKENS,
        WEIGHTS,
        *ANGLES,
        *SETTINGS,
    ),
    "blocks_int8": lambda: (TOKENS, WEIGHTS, None, None, *SETTINGS[:-1], True),
    "cross_entropy": lambda: (random(90, 65), torch.arange(90) % 65, torch.ones(90)),
}


def operator_of(name: str) -> Any:
    """Some are called in two ways."""
    return getattr(OPERATORS, name if hasattr(OPERATORS, name) else name.replace("_int8", ""))


@pytest.mark.parametrize("name", CALLS)
def test_threads_change_nothing(name: str) -> None:
    arguments, before = CALLS[name](), torch.get_num_threads()
    results = []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            found = operator_of(name)(*arguments)
            results.append((found,) if isinstance(found, torch.Tensor) else found)
    finally:
        torch.set_num_threads(before)

    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


@pytest.mark.parametrize("name", CALLS)
def test_the_compiler_is_told_the_right_shapes(name: str) -> None:
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(operator_of(name).default, CALLS[name](), test_utils=checks)


def in_a_new_process(code: str, **environment: str) -> str:
    """What it prints; the kernels are looked for once a process."""
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_without_tiles_lanes_compute_the_same(tmp_path: Path) -> None:
    """As on a processor that has AVX-512's bfloat16, and no AMX."""
    code = """
import torch
import gpt.native.library as library
library.FLAGS += ("-mno-amx-tile", "-mno-amx-bf16", "-mno-amx-int8")
from gpt.attention import KERNELS
from gpt.attention.verify import verify
import gpt.native.head, gpt.native.linear
from gpt.native.operators import OPERATORS
verdict = verify(KERNELS["native"], "cpu", torch.bfloat16, T=100, D=40)
print(verdict.reason, library.has_tiles())
a, b = torch.randn(300, 50).bfloat16(), torch.randn(300, 70).bfloat16()
exact = a.float().T @ b.float()
print(torch.allclose(OPERATORS.weight_gradient(a, b).float(), exact, rtol=2**-8, atol=1e-3))
x, w = torch.randn(45, 64).bfloat16(), torch.randn(96, 64).bfloat16()
exact = x.float() @ w.float().T
print(torch.allclose(OPERATORS.linear(x, w, False).float(), exact, rtol=2**-8, atol=1e-3))
losses, *_ = OPERATORS.head(x, w / 8, torch.arange(45), torch.ones(45), False)
exact = torch.nn.functional.cross_entropy(exact / 8, torch.arange(45), reduction="none")
print(torch.allclose(losses, exact, atol=0.05))
"""
    assert in_a_new_process(code, GPT_BENCH_CACHE=str(tmp_path)) == "None False\nTrue\nTrue\nTrue"


def test_they_are_compiled_once(tmp_path: Path) -> None:
    code = "from gpt.native import absence; print(absence())"
    seen = []
    for _ in range(2):
        assert in_a_new_process(code, GPT_BENCH_CACHE=str(tmp_path)) == "None"
        seen.append({p.name: p.stat().st_mtime_ns for p in (tmp_path / "native").iterdir()})

    assert len(seen[0]) == 1
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"CXX": "/no/such/compiler"}, "/no/such/compiler"),
        ({"CXX": "false"}, "returned non-zero exit status 1"),
        ({"GPT_BENCH_CACHE": "/dev/null"}, "the cache /dev/null/native must be writable"),
        ({"CXX": "c++ -mno-avx512bf16"}, "has no AVX-512 bfloat16"),
    ],
)
def test_without_them_a_run_trains_all_the_same(
    environment: dict[str, str], why: str, tiny: RunConfig, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(tiny.override({"dtype": "bfloat16"}).to_json())
    code = f"""
import torch
from pathlib import Path
from typing import Any
from gpt.attention import KERNELS
from gpt.config import RunConfig
from gpt.native import absence
from gpt.setup import set_up
from gpt.train import train
folder = Path({str(tmp_path)!r})
config = RunConfig.from_json((folder / "config.json").read_text())
*_, last = train(set_up(config, cache=folder / "cache"))
print(absence(), last.step)
print(KERNELS["native"].unavailable("cpu", torch.bfloat16))
"""
    printed = in_a_new_process(
        code, **({"GPT_BENCH_CACHE": str(tmp_path / "kernels")} | environment)
    )

    first, second = printed.splitlines()
    assert why in first
    assert first.endswith(" 20")
    assert second.startswith("the C++ kernels must be here but")


def test_their_absence_for_other_dtypes_is_said() -> None:
    said = KERNELS["native"].unavailable("cpu", torch.float32)
    assert said is not None
    assert "must compute in bfloat16 on a CPU but got torch.float32" in said
