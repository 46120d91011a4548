"""The chunked head against the plain one in float64: value and gradients."""

import pytest
import torch
from torch import Tensor

import gpt.loss
from gpt.loss import IGNORE_INDEX, chunked_cross_entropy, cross_entropy

N, C, V = 37, 8, 23

ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpt.loss.CHUNK_BYTES, "cpu", 5 * V * 4)


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
