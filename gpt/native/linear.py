"""A linear map whose weights' gradient is made in C++ (gradient.h), in bfloat16 on a CPU with AMX."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.native.library import call, library
from gpt.native.operators import OPERATORS, define


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
        to_weight = OPERATORS.weight_gradient(grad, x.flatten(0, -2)).to(weight.dtype)
        to_bias = grad.sum(0) if ctx.has_bias else None
        return grads[0] @ weight, to_weight, to_bias


@define("weight_gradient(Tensor grad, Tensor x) -> Tensor")
class _WeightGradient:
    """(n, M) and (n, K) in bfloat16 -> gradᵀ x, (M, K) in float32."""

    @staticmethod
    def shapes(grad: Tensor, x: Tensor) -> Tensor:
        return grad.new_empty((grad.shape[1], x.shape[1]), dtype=torch.float32)

    @staticmethod
    def compute(grad: Tensor, x: Tensor) -> Tensor:
        grad, x = grad.contiguous(), x.contiguous()
        out = _WeightGradient.shapes(grad, x)
        call(library().gpt_weight_gradient, out, grad, x, len(x), *out.shape)
        return out
