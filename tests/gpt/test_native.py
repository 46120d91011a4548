"""The C++ kernels against float64."""

import math
from copy import deepcopy
from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from native_kernels import needs_kernels, random
from torch import Tensor, nn

from gpt.attention.plain import matmul
from gpt.config import ModelConfig
from gpt.config.model import Activation, Norm
from gpt.layers import ACTIVATIONS, MLP, Linear, QueryKeyTransform, activate, make_norm
from gpt.loss import IGNORE_INDEX, chunked_cross_entropy
from gpt.model import build_model
from gpt.native.activation import NUMBERS, native_activation
from gpt.native.attention import native_packed
from gpt.native.cross_entropy import native_cross_entropy
from gpt.native.head import native_head
from gpt.native.library import has_tiles
from gpt.native.linear import is_small
from gpt.native.mlp import native_mlp, takes_mlp
from gpt.native.operators import OPERATORS

ROUNDING = 2**-8
"""How far a number is from the nearest bfloat16, as a share of it."""

pytestmark = needs_kernels


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


@needs_tiles
@pytest.mark.parametrize(
    ("n", "V", "C"), [(1, 2, 32), (31, 33, 64), (300, 65, 64), (513, 300, 32), (40, 4000, 96)]
)
def test_a_head_s_losses_and_gradients(n: int, V: int, C: int) -> None:
    """Of a single token, of whole tiles and others, and of several pieces of tokens."""
    x, weight, weights = random(n, C), random(V, C, seed=1).div(4), torch.rand(n)
    targets = torch.randint(V, (n,), generator=torch.Generator().manual_seed(0))
    exact_inputs = [tensor.double().requires_grad_() for tensor in (x, weight)]

    losses, *found = native_head(x, weight, targets, weights)
    logits = F.linear(*exact_inputs)
    exact = F.cross_entropy(logits, targets, reduction="none")
    exact_found = torch.autograd.grad(exact @ weights.double(), exact_inputs)

    rounding = float(logits.detach().abs().max()) * ROUNDING  # of logits that are bfloat16
    torch.testing.assert_close(losses.double(), exact.detach(), rtol=0, atol=rounding)
    assert max(map(relative_error, found, exact_found)) < 2 * ROUNDING


@needs_tiles
def test_logits_far_from_zero_are_all_the_same_to_a_head() -> None:
    """33 of them, each −256: those that fill the vocabulary up to a tile weigh nothing."""
    losses, *_ = native_head(
        torch.ones(1, 32).bfloat16(), torch.full((33, 32), -8.0).bfloat16(),
        torch.tensor([5]), torch.ones(1),
    )  # fmt: skip

    assert losses.item() == pytest.approx(math.log(33), abs=1e-5)


@needs_tiles
def test_a_token_that_is_not_a_number_makes_a_head_s_loss_none() -> None:
    x = random(2, 32)
    x[1, 3] = float("nan")

    losses, to_x, to_weight = native_head(x, random(40, 32), torch.tensor([0, 0]), torch.ones(2))

    assert losses.isnan().tolist() == [False, True]
    assert to_x.isnan().any(1).tolist() == [False, True]
    assert to_weight.isnan().all()


@needs_tiles
def test_the_chunked_loss_is_the_native_head_s_where_that_can_be() -> None:
    """The mean over the tokens that are predicted."""
    x, weight = random(40, 32).requires_grad_(), random(65, 32, seed=1).requires_grad_()
    targets = torch.arange(40)
    targets[::4] = IGNORE_INDEX
    weights = torch.ones(40) / 30
    weights[::4] = 0

    loss = chunked_cross_entropy(x, weight, None, targets, "mean")
    found = torch.autograd.grad(loss, (x, weight))
    losses, *expected = native_head(x, weight, targets.clamp(min=0), weights)

    assert loss.item() == pytest.approx((losses @ weights).item())
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


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
