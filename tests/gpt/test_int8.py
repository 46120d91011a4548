"""Training in int8: the products against the same in float64, and what is learned by them."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from native_kernels import needs_kernels, random
from same_training import assert_within_noise_of_seeds
from torch import Tensor

from gpt.canary import check_canary
from gpt.errors import InfeasibleError
from gpt.loss import IGNORE_INDEX, chunked_cross_entropy
from gpt.native.head import native_head
from gpt.native.linear import native_linear
from gpt.precision import Precision
from gpt.setup import Setup
from gpt.train import Point

PIECE = 256
"""Tokens whose gradients to the weights have scales in common: TOKENS of gradient.h."""

TO_BFLOAT16 = 2**-8


def in_int8(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return native_linear(x, weight, bias, int8=True)


def to_bytes(x: Tensor, dim: int) -> Tensor:
    """Rounded to whole numbers up to 127, with a scale for each row (1) or column (0)."""
    x = x.double()
    scale = x.abs().amax(dim, keepdim=True) / 127
    return (x / scale).round() * scale


@needs_kernels
@pytest.mark.parametrize(
    ("n", "M", "K"),
    [(1, 32, 32), (37, 96, 32), (100, 32, 160), (256, 64, 64), (300, 128, 64), (515, 32, 96)],
)
def test_a_linear_map_and_its_gradients(n: int, M: int, K: int) -> None:
    x, weight = random(n, K).requires_grad_(), random(M, K, seed=1).requires_grad_()
    grad = random(n, M, seed=2)

    out = in_int8(x, weight)
    out.backward(grad)
    expected = (
        to_bytes(x, 1) @ to_bytes(weight, 1).T,
        to_bytes(grad, 1) @ to_bytes(weight, 0),
        sum(
            to_bytes(g, 0).T @ to_bytes(part, 0)
            for g, part in zip(grad.split(PIECE), x.split(PIECE), strict=True)
        ),
    )

    for found, exact in zip((out, x.grad, weight.grad), expected, strict=True):
        # Where the tie of a rounding falls hangs on the last bit of a scale: a few are elsewhere.
        error = (found.double() - exact).norm() / exact.norm()
        assert error < 1.5 * TO_BFLOAT16


@needs_kernels
def test_it_is_the_exact_map_within_what_bytes_can_say() -> None:
    x, weight = random(64, 128), random(96, 128, seed=1)
    out, exact = in_int8(x, weight).double(), x.double() @ weight.double().T

    error = float((out - exact).norm() / exact.norm())
    assert 0.002 < error < 0.02


@needs_kernels
def test_a_bias_is_added_and_learned() -> None:
    x, weight, bias = random(4, 8, 32), random(64, 32, seed=1), random(64).requires_grad_()
    out = in_int8(x, weight, bias)
    out.sum().backward()

    assert torch.equal(out, in_int8(x, weight) + bias)
    assert bias.grad.tolist() == [32.0] * 64


@needs_kernels
def test_nothing_times_anything_is_nothing() -> None:
    x, weight = torch.zeros(3, 32).bfloat16(), random(32, 32)
    assert not in_int8(x, weight).any()
    assert not in_int8(weight, x.new_zeros(32, 32)).any()


@needs_kernels
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_a_number_stays_none(value: float) -> None:
    """A run that diverges must show it."""
    x, weight = random(8, 32), random(64, 32, seed=1)
    x[3, 5] = value
    x, weight = x.requires_grad_(), weight.requires_grad_()
    out = in_int8(x, weight)
    out.backward(torch.ones_like(out))

    assert out.isfinite().all(1).tolist() == [row != 3 for row in range(8)]
    assert not weight.grad[:, 5].isfinite().any()


@needs_kernels
def test_the_greatest_numbers_and_the_least_are_taken() -> None:
    weight = torch.eye(32).bfloat16()
    for size in (1e38, 1e-28):
        x = torch.full((1, 32), size).bfloat16()
        torch.testing.assert_close(in_int8(x, weight), x, rtol=0.01, atol=0)


def exact_head(
    x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Losses and gradients in float64."""
    x, weight = x.double().requires_grad_(), weight.double().requires_grad_()
    losses = F.cross_entropy(x @ weight.T, targets, reduction="none")
    return losses.detach(), *torch.autograd.grad(losses @ weights.double(), (x, weight))


@needs_kernels
@pytest.mark.parametrize(
    ("n", "V", "C"), [(1, 2, 32), (37, 33, 64), (300, 65, 32), (256, 1000, 96), (515, 79, 32)]
)
def test_a_head_and_its_gradients(n: int, V: int, C: int) -> None:
    x, weight = random(n, C), random(V, C, seed=1) / 8
    targets = torch.arange(n) * 7 % V
    weights = torch.linspace(0.1, 1, n)

    found = native_head(x, weight, targets, weights, int8=True)

    for ours, exact in zip(found, exact_head(x, weight, targets, weights), strict=True):
        assert ours.shape == exact.shape
        assert (ours - exact).norm() < 0.03 * exact.norm()


@needs_kernels
@pytest.mark.parametrize("V", [65, 1000])
@pytest.mark.parametrize("confidence", [2.0, 4.0, 8.0, 16.0, 200.0])
def test_what_is_predicted_well_is_let_alone(V: int, confidence: float) -> None:
    """Of the target's own share nothing is left, so what is subtracted from it must be exact."""
    n, C = 256, 128
    x, weight, targets = random(n, C), random(V, C, seed=1), torch.arange(n) % V
    x = (0.2 * x.float() + confidence / C * weight[targets].float()).bfloat16()
    weights = torch.full((n,), 1 / n)

    _, *found = native_head(x, weight, targets, weights, int8=True)
    _, *exact = exact_head(x, weight, targets, weights)

    for ours, gradient in zip(found, exact, strict=True):
        assert (ours - gradient).norm() < 0.05 * gradient.norm() + 1e-20


@needs_kernels
@pytest.mark.parametrize("gap", [6.0, 9.0, 9.6, 10.0, 11.0])
def test_what_is_improbable_is_learned_on_average(gap: float) -> None:
    """To the nearest, each of these tokens' shares would be nothing, and so their sum."""
    n, V, C = 512, 1024, 32
    x, weight = torch.zeros(n, C).bfloat16(), torch.zeros(V, C).bfloat16()
    x[:, 0] = 1
    weight[0, 0] = gap  # the first token has most of the probability; the last is the target
    weight[:-1, 1] = 1
    weight[0, 1] = 0
    targets, weights = torch.full((n,), V - 1), torch.ones(n)

    _, to_x, to_weight = native_head(x, weight, targets, weights, int8=True)
    _, exact_x, exact_weight = exact_head(x, weight, targets, weights)

    for ours, exact in ((to_x[:, 1], exact_x[:, 1]), (to_weight[1:-1, 0], exact_weight[1:-1, 0])):
        assert exact.sum() > 0
        assert ours.double().sum().item() == pytest.approx(exact.sum().item(), rel=0.03)


@needs_kernels
def test_in_another_batch_a_token_is_rounded_otherwise() -> None:
    """Or at one place in a text something would be learned always, at another never."""
    x, weight, targets = random(64, 32), random(500, 32, seed=1), torch.zeros(64, dtype=torch.long)
    _, one, _ = native_head(x, weight, targets, torch.ones(64), int8=True)
    targets[-1] = 7
    _, other, _ = native_head(x, weight, targets, torch.ones(64), int8=True)

    assert not torch.equal(one[0], other[0])
    assert torch.allclose(one[0].float(), other[0].float(), atol=0.1)


@needs_kernels
def test_a_token_that_is_not_predicted_teaches_a_head_nothing() -> None:
    x, weight = random(40, 32).requires_grad_(), random(50, 32, seed=1).requires_grad_()
    targets = torch.arange(40)
    targets[::3] = IGNORE_INDEX
    loss = chunked_cross_entropy(x, weight, None, targets, "mean", int8=True)
    loss.backward()
    exact = F.cross_entropy(x.double() @ weight.double().T, targets, ignore_index=IGNORE_INDEX)

    assert loss.item() == pytest.approx(exact.item(), rel=0.01)
    assert not x.grad[::3].any()
    assert x.grad[1::3].any(1).all()


@needs_kernels
def test_a_head_of_what_is_not_a_number_says_so() -> None:
    x = random(40, 32)
    x[7, 3] = float("nan")
    losses, to_x, _ = native_head(x, random(50, 32), torch.arange(40), torch.ones(40), int8=True)

    assert losses.isfinite().tolist() == [i != 7 for i in range(40)]
    assert to_x.isfinite().all(1).tolist() == [i != 7 for i in range(40)]


@needs_kernels
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_loss_agrees_with_bfloat16_s_within_the_noise_of_seeds(
    optimizer: str, run: Callable[..., list[Point]]
) -> None:
    def final(dtype: str, seed: int) -> float:
        *_, last = run(
            dtype=dtype,
            seed=seed,
            steps=80,
            n_embd=32,
            learning_rate=0.01,
            optimizer=optimizer,
            loss_head="chunked",
            evaluations=1,
        )
        assert last.evaluation is not None
        return last.evaluation.loss

    assert_within_noise_of_seeds(final, "bfloat16", "int8")


@needs_kernels
def test_what_is_evaluated_is_computed_in_bfloat16(settle: Callable[..., Setup]) -> None:
    setup = settle(dtype="int8", n_embd=32)
    in_int8, in_bfloat16 = (
        Precision(setup.model, dtype, setup.device).model for dtype in ("int8", "bfloat16")
    )
    idx = torch.arange(16)[None]

    assert not torch.equal(in_int8(idx), in_bfloat16(idx))
    assert torch.equal(in_int8.eval()(idx), in_bfloat16.eval()(idx))


@needs_kernels
def test_the_canary_may_trust_it(settle: Callable[..., Setup]) -> None:
    check_canary(settle(dtype="int8", n_embd=32))


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"n_embd": 48}, "n_embd is 48, not a multiple of 32"),
        ({"attention": "per_head"}, "only fused attention and its MLP"),
        ({"model.kind": "bigram"}, "only fused attention and its MLP"),
    ],
)
def test_what_can_t_multiply_so_is_infeasible(
    settings: dict[str, object], reason: str, settle: Callable[..., Setup]
) -> None:
    with pytest.raises(InfeasibleError, match=f"dtype must train on this cpu device but {reason}"):
        settle(dtype="int8", **{"n_embd": 32, **settings})


def test_without_the_kernels_it_is_infeasible(
    settle: Callable[..., Setup], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt.setup.absence", lambda: "there is no compiler")
    with pytest.raises(InfeasibleError, match="but there is no compiler"):
        settle(dtype="int8", n_embd=32)
