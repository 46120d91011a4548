"""Causal attention in C++, forward and backward (attention.h).

In bfloat16, on a CPU, without dropout. The operators take q, k and v as the one tensor that one
matrix makes, and give their gradients back as one: nothing is copied on either way.
"""

from typing import Any

import torch
from torch import Tensor

from gpt.autograd import mark_kept
from gpt.errors import InfeasibleError
from gpt.native.library import call, library
from gpt.native.operators import OPERATORS, operator


def native(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """A kernel as in `gpt.attention`: q, k, v (B, H, T, D) -> (B, H, T, D).

    Raises:
        InfeasibleError: for another dtype or device, with dropout, or if the kernels are not here.
    """
    if dropout_p > 0:
        raise InfeasibleError(f"native attention has no dropout but got {dropout_p}; set it to 0")
    qkv = torch.stack([x.transpose(1, 2) for x in (q, k, v)], dim=2)  # (B, T, 3, H, D)
    return native_packed(qkv, scale=scale).transpose(1, 2)


def native_packed(qkv: Tensor, *, scale: float) -> Tensor:
    """The same of (B, T, 3, H, D) -> (B, T, H, D)."""
    if qkv.dtype is not torch.bfloat16 or qkv.device.type != "cpu":
        raise InfeasibleError(
            "native attention must compute in bfloat16 on a CPU but got "
            f"{qkv.dtype} on {qkv.device.type}"
        )
    out: Tensor = _Attention.apply(qkv, scale)[0]  # type: ignore[no-untyped-call]
    return out


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(qkv: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        out, kept = OPERATORS.attention(qkv, scale)
        return out, kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        qkv, ctx.scale = inputs
        ctx.save_for_backward(qkv, *output)
        mark_kept(ctx, output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return OPERATORS.attention_backward(grads[0], *ctx.saved_tensors, ctx.scale), None


def _empty(qkv: Tensor, scale: float) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    B, T, _, H, D = qkv.shape
    return qkv.new_empty((B, T, H, D)), qkv.new_empty((B, H, 2, T), dtype=torch.float32)


@operator("attention(Tensor qkv, float scale) -> (Tensor, Tensor)", _empty)
def _forward(qkv: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The output, and for each query what the backward pass makes its weights of, (B, H, 2, T)."""
    qkv = qkv.contiguous()
    out, kept = _empty(qkv, scale)
    call(library().gpt_attention, out, kept, qkv, scale, *out.shape)
    return out, kept


@operator(
    "attention_backward(Tensor grad_out, Tensor qkv, Tensor out, Tensor kept, float scale)"
    " -> Tensor",
    lambda grad_out, qkv, *_: qkv.new_empty(qkv.shape),  # noqa: ARG005
)
def _backward(grad_out: Tensor, qkv: Tensor, out: Tensor, kept: Tensor, scale: float) -> Tensor:
    grad_out, qkv = grad_out.contiguous(), qkv.contiguous()
    grad = torch.empty_like(qkv)
    call(library().gpt_attention_backward, grad, grad_out, qkv, out, kept, scale, *out.shape)
    return grad
