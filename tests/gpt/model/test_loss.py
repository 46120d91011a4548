"""The chunked head against the plain one in float64: value and gradients."""

import pytest
import torch
from torch import Tensor

import gpt.model.loss
from gpt.model.loss import IGNORE_INDEX, chunked_cross_entropy, cross_entropy

N, C, V = 37, 8, 23

ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpt.model.loss.CHUNK_BYTES, "cpu", 5 * V * 4)


@pytest.fixture
def inputs() -> dict[str, Tensor]:
    torch.manual_seed(0)
    targets = torch.randint(V, (N,))
    targets[[0, 7, 36]] = IGNORE_INDEX
    return {
        "x": torch.randn(N, C),
        "weight": torch.randn(V, C),
        "bias": torch.randn(V),
        "targets": targets,
    }


def loss_and_grads(
    inputs: dict[str, Tensor], dtype: torch.dtype, reduction: str, *, chunked: bool, bias: bool
) -> list[Tensor]:
    x, weight, b = (inputs[n].to(dtype).requires_grad_() for n in ("x", "weight", "bias"))
    leaves = [x, weight, *([b] if bias else [])]
    if chunked:
        loss = chunked_cross_entropy(x, weight, b if bias else None, inputs["targets"], reduction)
    else:
        logits = torch.nn.functional.linear(x, weight, b if bias else None)
        loss = torch.nn.functional.cross_entropy(
            logits, inputs["targets"], ignore_index=IGNORE_INDEX, reduction=reduction
        )
    return [loss, *torch.autograd.grad(3 * loss, leaves)]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", ROUNDING)
def test_value_and_gradients_are_those_of_the_plain_head(
    dtype: torch.dtype, reduction: str, bias: bool, inputs: dict[str, Tensor]
) -> None:
    rounded = {k: v if k == "targets" else v.to(dtype).double() for k, v in inputs.items()}
    exact = loss_and_grads(rounded, torch.float64, reduction, chunked=False, bias=bias)
    found = loss_and_grads(inputs, dtype, reduction, chunked=True, bias=bias)

    assert found[0].dtype == torch.float32
    for mine, true in zip(found, exact, strict=True):
        assert (mine.double() - true).norm() <= ROUNDING[dtype] * true.norm()


@pytest.mark.parametrize("n_tokens", [N, 5000])
@pytest.mark.parametrize("scale", [1.0, 65536.0])
def test_gradients_of_a_scaled_loss_in_float16_are_those_of_float64(
    scale: float, n_tokens: int, inputs: dict[str, Tensor]
) -> None:
    """65,536, GradScaler's first scale, is no float16: nothing may become infinite, nor lost."""
    x = torch.randn(n_tokens, C, generator=torch.Generator().manual_seed(1)).half()
    weight, bias = inputs["weight"].half(), inputs["bias"].half()
    targets = torch.arange(n_tokens) % V
    # by a module that learns in float32, so that only the head's own gradients are float16's
    leaves = [t.float().requires_grad_() for t in (x, weight, bias)]
    exact_leaves = [t.double().requires_grad_() for t in (x, weight, bias)]

    with torch.autocast("cpu", dtype=torch.float16):
        loss = chunked_cross_entropy(*leaves, targets, "mean")
    assert loss.dtype == torch.float32
    (scale * loss).backward()
    exact_x, exact_weight, exact_bias = exact_leaves
    logits = torch.nn.functional.linear(exact_x, exact_weight, exact_bias)
    (scale * torch.nn.functional.cross_entropy(logits, targets)).backward()

    for mine, true in zip(leaves, exact_leaves, strict=True):
        # what a float16 can't hold once the loss is not scaled is no fault of the head's
        unheld = 2**-25 * true.grad.numel() ** 0.5
        assert (mine.grad.double() - true.grad).norm() <= 5e-3 * true.grad.norm() + unheld


def test_large_logits_neither_overflow_nor_vanish(inputs: dict[str, Tensor]) -> None:
    x, weight = 1e3 * inputs["x"], inputs["weight"]
    found = chunked_cross_entropy(x, weight, None, inputs["targets"], "mean")
    exact = cross_entropy(x @ weight.T, inputs["targets"], "mean")

    assert float(found) == pytest.approx(float(exact), rel=1e-5)


def test_in_evaluation_no_gradient_is_computed(
    inputs: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "mm", lambda *_, **__: pytest.fail("a gradient was computed"))
    x, weight, targets = inputs["x"], inputs["weight"], inputs["targets"]

    assert chunked_cross_entropy(x, weight, None, targets, "sum").isfinite()
    with torch.no_grad():
        assert chunked_cross_entropy(x.requires_grad_(), weight, None, targets, "sum").isfinite()
