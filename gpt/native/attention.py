"""Causal attention in C++, forward and backward (attention.h).

In bfloat16, on a CPU, without dropout.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor

from gpt.errors import InfeasibleError
from gpt.native.library import address, heads, library
from gpt.native.operators import OPERATORS, define


def native(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """A kernel as in `gpt.attention`: q, k, v (B, H, T, D) -> (B, H, T, D), laid out (B, T, H, D).

    Raises:
        InfeasibleError: for another dtype or device, with dropout, or if the kernels are not here.
    """
    if dropout_p > 0:
        raise InfeasibleError(f"native attention has no dropout but got {dropout_p}; set it to 0")
    if q.dtype is not torch.bfloat16 or q.device.type != "cpu":
        raise InfeasibleError(
            f"native attention computes in bfloat16 on a CPU, not in {q.dtype} on {q.device.type}"
        )
    out: Tensor = _Attention.apply(q, k, v, scale)[0]  # type: ignore[no-untyped-call]
    return out


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        out, kept = OPERATORS.attention(q, k, v, scale)
        return out, kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        q, k, v, ctx.scale = inputs
        ctx.save_for_backward(q, k, v, *output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return *OPERATORS.attention_backward(grads[0], *ctx.saved_tensors, ctx.scale), None


@define("attention(Tensor q, Tensor k, Tensor v, float scale) -> (Tensor, Tensor)")
class _Forward:
    """The output, and for each query what the backward pass makes its weights of."""

    @staticmethod
    def shapes(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:  # noqa: ARG004
        B, H, T, _ = q.shape
        return _like(q), q.new_empty((B, H, 2, T), dtype=torch.float32)

    @staticmethod
    def compute(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        out, kept = _Forward.shapes(q, k, v, scale)
        q, k, v = (_rows(x) for x in (q, k, v))
        library().gpt_attention(
            heads([q, k, v, out]), address(kept), scale, _sizes(q), torch.get_num_threads()
        )
        return out, kept


@define(
    "attention_backward(Tensor grad_out, Tensor q, Tensor k, Tensor v, Tensor out, Tensor kept,"
    " float scale) -> (Tensor, Tensor, Tensor)"
)
class _Backward:
    @staticmethod
    def shapes(grad_out: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG004
        return _like(grad_out), _like(grad_out), _like(grad_out)

    @staticmethod
    def compute(
        grad_out: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, kept: Tensor, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        grads = _Backward.shapes(grad_out)
        inputs = [_rows(x) for x in (q, k, v, out, grad_out)]
        library().gpt_attention_backward(
            heads([*inputs, *grads]), address(kept), scale, _sizes(q), torch.get_num_threads()
        )
        return grads


def _like(x: Tensor) -> Tensor:
    """(B, H, T, D), laid out as the model goes on to use it: (B, T, H, D)."""
    B, H, T, D = x.shape
    return x.new_empty((B, T, H, D)).transpose(1, 2)


def _rows(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _sizes(x: Tensor) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * 4)(*x.shape)
