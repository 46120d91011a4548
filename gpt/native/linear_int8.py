"""Linear maps that multiply in int8, both ways (linear_int8.h), of bfloat16 on a CPU."""

from typing import Any

import torch
from torch import Tensor

from gpt.native.library import call, library
from gpt.native.operators import OPERATORS, operator


def native_linear_int8(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (..., K), weight (M, K), bias (M,) -> (..., M)."""
    out: Tensor = _Linear.apply(x, weight)  # type: ignore[no-untyped-call]
    return out if bias is None else out + bias


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        out: Tensor = OPERATORS.linear_int8(x, weight)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        to_x, to_weight = OPERATORS.linear_int8_backward(grads[0], *ctx.saved_tensors)
        return to_x, to_weight


def _empty(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty((*x.shape[:-1], len(weight)))


@operator("linear_int8(Tensor x, Tensor weight) -> Tensor", _empty)
def _forward(x: Tensor, weight: Tensor) -> Tensor:
    """(..., K) and (M, K) -> (..., M)."""
    x, weight, out = x.contiguous(), weight.contiguous(), _empty(x, weight)
    call(library().gpt_linear_int8, out, x, weight, x.numel() // x.shape[-1], *weight.shape)
    return out


@operator(
    "linear_int8_backward(Tensor grad, Tensor x, Tensor weight) -> (Tensor, Tensor)",
    lambda grad, x, weight: (x.new_empty(x.shape), weight.new_empty(weight.shape)),  # noqa: ARG005
)
def _backward(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of x (..., K) and of weight (M, K), from that of the output, (..., M)."""
    inputs = [tensor.contiguous() for tensor in (grad, x, weight)]
    grads = x.new_empty(x.shape), weight.new_empty(weight.shape)
    n = x.numel() // x.shape[-1]
    call(library().gpt_linear_int8_backward, *grads, *inputs, n, *weight.shape)
    return grads
