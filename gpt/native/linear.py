"""A linear map that makes its weights' gradient in C++ (gradient.h).

In bfloat16, on a CPU with AMX: elsewhere oneDNN is as fast.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.native.library import call, library
from gpt.native.operators import OPERATORS, operator


def native_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (..., K), weight (M, K), bias (M,) -> (..., M)."""
    out: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return out


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        x, weight, bias = inputs
        ctx.has_bias = bias is not None
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = grads[0].flatten(0, -2)  # (n, M)
        to_weight = OPERATORS.weight_gradient(grad, x.flatten(0, -2))
        to_bias = grad.sum(0) if ctx.has_bias else None
        return grads[0] @ weight, to_weight, to_bias


def _empty(grad: Tensor, x: Tensor) -> Tensor:
    return grad.new_empty((grad.shape[1], x.shape[1]))


@operator("weight_gradient(Tensor grad, Tensor x) -> Tensor", _empty)
def _weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """(n, M) and (n, K) -> gradᵀ x, (M, K), summed in float32."""
    grad, x = grad.contiguous(), x.contiguous()
    out = _empty(grad, x)
    call(library().gpt_weight_gradient, out, grad, x, len(x), *out.shape)
    return out
