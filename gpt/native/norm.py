"""LayerNorm and RMSNorm in C++, forward and backward (norm.h), in bfloat16 on a CPU."""

from typing import Any

import torch
from torch import Tensor

from gpt.autograd import mark_kept
from gpt.native.library import call, library
from gpt.native.operators import OPERATORS, operator


def native_norm(x: Tensor, weight: Tensor, *, epsilon: float, centered: bool) -> Tensor:
    """(x − its mean, if centered) / √(mean square + epsilon) · weight, over the last dimension.

    Args:
        x: (..., C) in bfloat16.
        weight: (C,) in bfloat16.
    """
    out: Tensor = _Norm.apply(x, weight, epsilon, centered)[0]  # type: ignore[no-untyped-call]
    return out


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, epsilon: float, centered: bool
    ) -> tuple[Tensor, Tensor]:
        out, kept = OPERATORS.norm(x, weight, epsilon, centered)
        return out, kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, weight, _, ctx.centered = inputs
        ctx.save_for_backward(x, weight, output[1])
        mark_kept(ctx, output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        to_x, to_weight = OPERATORS.norm_backward(grads[0], *ctx.saved_tensors, ctx.centered)
        return to_x, to_weight, None, None


def _empty(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty((*x.shape[:-1], 2), dtype=torch.float32)


@operator(
    "norm(Tensor x, Tensor weight, float epsilon, bool centered) -> (Tensor, Tensor)", _empty
)
def _forward(x: Tensor, weight: Tensor, epsilon: float, centered: bool) -> tuple[Tensor, Tensor]:
    """The output, and the mean and rate of each row."""
    x, C = x.contiguous(), x.shape[-1]
    out, kept = _empty(x)
    call(library().gpt_norm, out, kept, x, weight, x.numel() // C, C, epsilon, centered)
    return out, kept


@operator(
    "norm_backward(Tensor grad_out, Tensor x, Tensor weight, Tensor kept, bool centered)"
    " -> (Tensor, Tensor)",
    lambda grad_out, x, weight, *_: (x.new_empty(x.shape), weight.new_empty(weight.shape)),  # noqa: ARG005
)
def _backward(
    grad_out: Tensor, x: Tensor, weight: Tensor, kept: Tensor, centered: bool
) -> tuple[Tensor, Tensor]:
    grad_out, x, C = grad_out.contiguous(), x.contiguous(), x.shape[-1]
    to_x, to_weight = torch.empty_like(x), torch.empty_like(weight)
    call(
        library().gpt_norm_backward, to_x, to_weight, grad_out, x, weight, kept,
        x.numel() // C, C, centered,
    )  # fmt: skip
    return to_x, to_weight
