"""Linear maps in C++, of bfloat16 on a CPU.

Their products are in bfloat16 where there is AMX, for elsewhere oneDNN is as fast: small matrices
are multiplied both ways (linear.h), of a larger one only the gradient is made here (gradient.h),
where oneDNN is slowest. Or they are in int8 (linear_int8.h).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.native.library import call, library
from gpt.native.operators import OPERATORS, operator

SIDE = 32
"""What both sides of a matrix must be multiples of, as in product.h."""

MOST_SUMS = 1 << 18
"""Numbers whose gradients are summed at once: as floats, half of a core's second cache."""


def is_small(*weights: Tensor) -> bool:
    """Whether products with these matrices, and the sums of their gradients, stay in the cache."""
    sides = (side for weight in weights for side in weight.shape)
    return (
        all(side % SIDE == 0 for side in sides)
        and sum(weight.numel() for weight in weights) <= MOST_SUMS
    )


def native_linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, int8: bool = False) -> Tensor:
    """x (..., K), weight (M, K), bias (M,) -> (..., M).

    Args:
        int8: whether the products are in int8; then M and K are multiples of SIDE.
    """
    out: Tensor = _Linear.apply(x, weight, bias, int8)  # type: ignore[no-untyped-call]
    return out


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, int8: bool) -> Tensor:
        if not (int8 or is_small(weight)):
            return F.linear(x, weight, bias)
        out: Tensor = OPERATORS.linear(x, weight, int8)
        return out if bias is None else out + bias

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        x, weight, bias, ctx.int8 = inputs
        ctx.has_bias = bias is not None
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = grads[0].flatten(0, -2)  # (n, M)
        if ctx.int8 or is_small(weight):
            to_x, to_weight = OPERATORS.linear_backward(grad, x, weight, ctx.int8)
        else:
            to_x = grads[0] @ weight
            to_weight = OPERATORS.weight_gradient(grad, x.flatten(0, -2))
        return to_x, to_weight, grad.sum(0) if ctx.has_bias else None, None


def _empty(x: Tensor, weight: Tensor, int8: bool) -> Tensor:  # noqa: ARG001
    return x.new_empty((*x.shape[:-1], len(weight)))


@operator("linear(Tensor x, Tensor weight, bool int8) -> Tensor", _empty)
def _forward(x: Tensor, weight: Tensor, int8: bool) -> Tensor:
    """(..., K) and (M, K) -> (..., M)."""
    x, weight, out = x.contiguous(), weight.contiguous(), _empty(x, weight, int8)
    kernel = library().gpt_linear_int8 if int8 else library().gpt_linear
    call(kernel, out, x, weight, x.numel() // x.shape[-1], *weight.shape)
    return out


@operator(
    "linear_backward(Tensor grad, Tensor x, Tensor weight, bool int8) -> (Tensor, Tensor)",
    lambda grad, x, weight, int8: (x.new_empty(x.shape), weight.new_empty(weight.shape)),  # noqa: ARG005
)
def _backward(grad: Tensor, x: Tensor, weight: Tensor, int8: bool) -> tuple[Tensor, Tensor]:
    """The gradients of x (..., K) and of weight (M, K), from that of the output, (n, M)."""
    inputs = [tensor.contiguous() for tensor in (grad, x, weight)]
    grads = x.new_empty(x.shape), weight.new_empty(weight.shape)
    kernel = library().gpt_linear_int8_backward if int8 else library().gpt_linear_backward
    call(kernel, *grads, *inputs, len(grad), *weight.shape)
    return grads


def _empty_gradient(grad: Tensor, x: Tensor) -> Tensor:
    return grad.new_empty((grad.shape[1], x.shape[1]))


@operator("weight_gradient(Tensor grad, Tensor x) -> Tensor", _empty_gradient)
def _weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """(n, M) and (n, K) -> gradᵀ x, (M, K), summed in float32."""
    grad, x = grad.contiguous(), x.contiguous()
    out = _empty_gradient(grad, x)
    call(library().gpt_weight_gradient, out, grad, x, len(x), *out.shape)
    return out
