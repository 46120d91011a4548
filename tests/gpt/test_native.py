"""The C++ kernels against float64; how they are shared out, kept, and done without."""

import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt import native
from gpt.attention import KERNELS
from gpt.attention.plain import matmul
from gpt.config import ModelConfig, RunConfig
from gpt.config.model import Activation, Norm
from gpt.layers import ACTIVATIONS, MLP, Linear, QueryKeyTransform, activate, make_norm
from gpt.model import build_model
from gpt.native.activation import NUMBERS, native_activation
from gpt.native.attention import native_packed
from gpt.native.cross_entropy import native_cross_entropy
from gpt.native.library import has_tiles
from gpt.native.linear import is_small
from gpt.native.mlp import native_mlp, takes_mlp
from gpt.native.operators import OPERATORS

ROUNDING = 2**-8
"""How far a number is from the nearest bfloat16, as a share of it."""

reason = native.absence()
pytestmark = pytest.mark.skipif(reason is not None, reason=f"no C++ kernels: {reason}")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def relative_error(found: Tensor, exact: Tensor) -> float:
    return float((found.detach().double() - exact.detach()).norm() / exact.detach().norm())


def test_every_activation_has_its_number() -> None:
    assert set(NUMBERS) == set(get_args(Activation)) == set(ACTIVATIONS)
    assert sorted(NUMBERS.values()) == [0, 1, 2]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_and_slope_are_right_to_the_last_digit(name: Activation) -> None:
    x = torch.linspace(-12, 12, 10_007).bfloat16().requires_grad_()
    exact_x = x.detach().double().requires_grad_()

    y = native_activation(x, name)
    exact = ACTIVATIONS[name](exact_x)
    (slope,) = torch.autograd.grad(y, x, torch.ones_like(y))
    (exact_slope,) = torch.autograd.grad(exact, exact_x, torch.ones_like(exact))

    torch.testing.assert_close(y.double(), exact, rtol=ROUNDING, atol=2e-5)
    torch.testing.assert_close(slope.double(), exact_slope, rtol=ROUNDING, atol=3e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_not_a_number_stays_none(name: Activation) -> None:
    """A run that diverges must show it."""
    x = torch.tensor([float("nan"), float("inf"), 1.0]).bfloat16()
    y = native_activation(x, name)

    assert y.isnan().tolist() == [True, False, False]
    assert y[1] == float("inf")


def test_the_model_s_activation_is_the_native_one_in_bfloat16_alone() -> None:
    x = random(64)
    assert torch.equal(activate(x, "gelu"), native_activation(x, "gelu"))
    assert torch.equal(activate(x.float(), "gelu"), F.gelu(x.float()))


@pytest.mark.parametrize(
    ("n", "M", "K"), [(1, 1, 1), (31, 33, 5), (300, 65, 40), (512, 128, 64), (513, 20, 96)]
)
def test_weight_gradient(n: int, M: int, K: int) -> None:
    grad, x = random(n, M), random(n, K, seed=1)

    found = OPERATORS.weight_gradient(grad, x)

    assert relative_error(found, grad.double().T @ x.double()) < ROUNDING


needs_tiles = pytest.mark.skipif(not has_tiles(), reason="this processor has no tiles (AMX)")


@needs_tiles
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("C", "M"), [(40, 24), (64, 96), (512, 1024)])
def test_a_linear_layer_of_many_tokens_is_torch_s_with_its_gradients(
    C: int, M: int, bias: bool
) -> None:
    """One that is no multiple of a tile, one that is, and one too large for the cache."""
    n = Linear.FEWEST_TOKENS // 2 + 9  # not whole tiles of tokens either
    layer = Linear(C, M, bias=bias).bfloat16()
    x = random(2, n, C).requires_grad_()
    inputs = [x, *layer.parameters()]
    grad_out = random(2, n, M, seed=1)

    out = layer(x)
    found = torch.autograd.grad(out, inputs, grad_out)
    exact_inputs = [i.detach().double().requires_grad_() for i in inputs]
    exact = torch.autograd.grad(F.linear(*exact_inputs), exact_inputs, grad_out.double())

    assert is_small(layer.weight) == (C == 64)
    assert relative_error(out, F.linear(*exact_inputs)) < ROUNDING
    assert max(map(relative_error, found, exact)) < ROUNDING


@needs_tiles
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("n", [1, 31, 300])
def test_an_mlp_and_its_gradients(n: int, name: Activation) -> None:
    x, expand, projection = (
        random(*shape).div(8).requires_grad_() for shape in ((n, 64), (256, 64), (64, 256))
    )
    grad_out = random(n, 64, seed=1)

    out = native_mlp(x, expand, projection, name)
    found = torch.autograd.grad(out, (x, expand, projection), grad_out)
    exact_x, exact_e, exact_p = exacts = [
        i.detach().double().requires_grad_() for i in (x, expand, projection)
    ]
    exact = F.linear(ACTIVATIONS[name](F.linear(exact_x, exact_e)), exact_p)
    exact_found = torch.autograd.grad(exact, exacts, grad_out.double())

    assert relative_error(out, exact) < 2 * ROUNDING  # of the hidden layer, and of the result
    assert max(map(relative_error, found, exact_found)) < 2 * ROUNDING


@needs_tiles
@pytest.mark.parametrize(
    ("bias", "n_embd", "is_taken"), [(False, 32, True), (True, 32, False), (False, 40, False)]
)
def test_a_model_s_mlp_is_the_native_one_where_that_can_be(
    bias: bool, n_embd: int, is_taken: bool
) -> None:
    config = ModelConfig(block_size=8, n_layer=1, n_head=1, n_embd=n_embd, bias=bias)
    mlp = MLP(replace(config, dropout=0.0)).bfloat16()
    x = random(4, n_embd)

    assert takes_mlp(x, mlp.expand, mlp.projection) == is_taken
    exact = deepcopy(mlp).double()(x.double())
    assert relative_error(mlp(x), exact) < 2 * ROUNDING


@pytest.mark.parametrize("norm", ["layernorm", "rmsnorm"])
@pytest.mark.parametrize(("n", "C"), [(1, 5), (300, 40), (129, 384)])
def test_norm_and_its_gradients(norm: Norm, n: int, C: int) -> None:
    layer = make_norm(ModelConfig(norm=norm, n_embd=C, n_head=1)).bfloat16()
    nn.init.normal_(layer.weight)
    x = (3 * random(n, C) + 1).requires_grad_()
    exact_layer, exact_x = deepcopy(layer).double(), x.detach().double().requires_grad_()
    grad_out = random(n, C, seed=1)

    out, exact = layer(x), exact_layer(exact_x)
    found = torch.autograd.grad(out, (x, layer.weight), grad_out)
    expected = torch.autograd.grad(exact, (exact_x, exact_layer.weight), grad_out.double())

    assert type(out.grad_fn).__name__ == "_NormBackward"
    torch.testing.assert_close(out.double(), exact, rtol=2 * ROUNDING, atol=1e-5)
    assert max(map(relative_error, found, expected)) < ROUNDING


@pytest.mark.parametrize(("n", "V"), [(1, 1), (7, 65), (33, 4000)])
def test_cross_entropy_and_its_gradient(n: int, V: int) -> None:
    logits, weights = 5 * random(n, V), torch.rand(n)
    targets = torch.randint(V, (n,), generator=torch.Generator().manual_seed(0))
    exact_logits = logits.double().requires_grad_()

    losses, grad = native_cross_entropy(logits, targets, weights)
    exact = F.cross_entropy(exact_logits, targets, reduction="none")
    (exact_grad,) = torch.autograd.grad(exact @ weights.double(), exact_logits)

    torch.testing.assert_close(losses.double(), exact.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grad.double(), exact_grad, rtol=ROUNDING, atol=1e-6)


def test_a_logit_that_is_not_a_number_makes_the_loss_none() -> None:
    logits = random(2, 40)
    logits[1, 3] = float("nan")

    losses, _ = native_cross_entropy(logits, torch.tensor([0, 0]), torch.ones(2))

    assert losses.isnan().tolist() == [False, True]


def test_packed_attention_is_that_of_its_parts() -> None:
    """With gradients: (B, T, 3, H, D) holds q, k and v of each token."""
    qkv = random(2, 37, 3, 2, 20).requires_grad_()
    exact_qkv = qkv.detach().double().requires_grad_()
    grad_out = random(2, 37, 2, 20, seed=1)

    out = native_packed(qkv, scale=0.3)
    exact = matmul(*exact_qkv.transpose(1, 3).unbind(2), scale=0.3).transpose(1, 2)
    (grad,) = torch.autograd.grad(out, qkv, grad_out)
    (exact_grad,) = torch.autograd.grad(exact, exact_qkv, grad_out.double())

    assert relative_error(out, exact) < ROUNDING
    assert relative_error(grad, exact_grad) < ROUNDING


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_a_model_computes_the_same_with_and_without(position: str) -> None:
    config = ModelConfig(
        block_size=64, n_head=2, n_embd=32, position=position, kernel="native", activation="gelu"
    )  # type: ignore[arg-type]
    idx = torch.randint(50, (2, 64), generator=torch.Generator().manual_seed(0))
    grads = []
    for kernel, dtype in [("native", torch.bfloat16), ("matmul", torch.float64)]:
        torch.manual_seed(0)
        model = build_model(replace(config, kernel=kernel), 50).to(dtype)  # type: ignore[arg-type]
        loss = model.logits(idx).float().logsumexp(-1).square().mean()
        grads.append(torch.cat([g.flatten().double() for g in torch.autograd.grad(
            loss, [p for p in model.parameters() if p.requires_grad]
        )]))  # fmt: skip

    assert relative_error(*grads) < 0.03


@pytest.mark.parametrize(("rotary", "norm"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("D", [2, 24, 64])
def test_q_and_k_are_turned_and_normalised_and_v_is_not(rotary: bool, norm: bool, D: int) -> None:
    config = ModelConfig(
        block_size=9, n_head=3, n_embd=3 * D, qk_norm=norm,
        position="rotary" if rotary else "learned",
    )  # fmt: skip
    transform = QueryKeyTransform(config).bfloat16()
    exact_transform = deepcopy(transform).double()
    qkv = random(2, 9, 3, 3, D).requires_grad_()
    exact_qkv = qkv.detach().double().requires_grad_()
    grad_out = random(2, 9, 3, 3, D, seed=1)

    out = transform.packed(qkv)
    q, k, v = exact_qkv.transpose(1, 3).unbind(2)  # (B, H, T, D) each
    exact = torch.stack([exact_transform(q), exact_transform(k), v], dim=2).transpose(1, 3)
    (grad,) = torch.autograd.grad(out, qkv, grad_out)
    (exact_grad,) = torch.autograd.grad(exact, exact_qkv, grad_out.double())

    assert relative_error(out, exact) < ROUNDING
    assert relative_error(grad, exact_grad) < ROUNDING
    assert torch.equal(out[:, :, 2], qkv[:, :, 2])


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
    "linear": lambda: (random(2, 300, 64), random(96, 64)),
    "linear_backward": lambda: (random(600, 96), random(2, 300, 64), random(96, 64)),
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
    "cross_entropy": lambda: (random(90, 65), torch.arange(90) % 65, torch.ones(90)),
}


@pytest.mark.parametrize("name", CALLS)
def test_threads_change_nothing(name: str) -> None:
    arguments, before = CALLS[name](), torch.get_num_threads()
    results = []
    try:
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            found = getattr(OPERATORS, name)(*arguments)
            results.append(found if isinstance(found, tuple) else (found,))
    finally:
        torch.set_num_threads(before)

    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


@pytest.mark.parametrize("name", CALLS)
def test_the_compiler_is_told_the_right_shapes(name: str) -> None:
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(getattr(OPERATORS, name).default, CALLS[name](), test_utils=checks)


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
import gpt.native.linear
from gpt.native.operators import OPERATORS
verdict = verify(KERNELS["native"], "cpu", torch.bfloat16, T=100, D=40)
print(verdict.reason, library.has_tiles())
a, b = torch.randn(300, 50).bfloat16(), torch.randn(300, 70).bfloat16()
exact = a.float().T @ b.float()
print(torch.allclose(OPERATORS.weight_gradient(a, b).float(), exact, rtol=2**-8, atol=1e-3))
x, w = torch.randn(45, 64).bfloat16(), torch.randn(96, 64).bfloat16()
exact = x.float() @ w.float().T
print(torch.allclose(OPERATORS.linear(x, w).float(), exact, rtol=2**-8, atol=1e-3))
"""
    assert in_a_new_process(code, GPT_BENCH_CACHE=str(tmp_path)) == "None False\nTrue\nTrue"


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
