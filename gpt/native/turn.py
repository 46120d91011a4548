"""Rotary positions and the norm of q and k in C++ (turn.h), in bfloat16 on a CPU."""

from typing import Any

import torch
from torch import Tensor

from gpt.native.library import call, library
from gpt.native.operators import OPERATORS, operator

EPSILON = torch.finfo(torch.float32).eps
"""What is added to the mean square, as by torch."""


def native_turn(qkv: Tensor, cos: Tensor | None, sin: Tensor | None, *, norm: bool) -> Tensor:
    """q and k turned and normalised, v as it is.

    Args:
        qkv: (B, T, 3, H, D) in bfloat16; position t's angles are `cos[t]` and `sin[t]`.
        cos, sin: (T, D / 2), for the pairs of channels (d, d + D / 2); None: no turn.
        norm: whether each head of q and k is divided by its root mean square.
    """
    out: Tensor = _Turn.apply(qkv, cos, sin, norm)  # type: ignore[no-untyped-call]
    return out


class _Turn(torch.autograd.Function):
    @staticmethod
    def forward(qkv: Tensor, cos: Tensor | None, sin: Tensor | None, norm: bool) -> Tensor:
        out: Tensor = OPERATORS.turn(qkv, cos, sin, norm)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        *tensors, ctx.norm = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return OPERATORS.turn_backward(grads[0], *ctx.saved_tensors, ctx.norm), None, None, None


@operator(
    "turn(Tensor qkv, Tensor? cos, Tensor? sin, bool norm) -> Tensor",
    lambda qkv, *_: qkv.new_empty(qkv.shape),
)
def _forward(qkv: Tensor, cos: Tensor | None, sin: Tensor | None, norm: bool) -> Tensor:
    qkv, (B, T, _, H, D) = qkv.contiguous(), qkv.shape
    out = torch.empty_like(qkv)
    tables = (None if table is None else table.contiguous() for table in (cos, sin))
    call(library().gpt_turn, out, qkv, *tables, B * T, T, H, D, EPSILON, norm)
    return out


@operator(
    "turn_backward(Tensor grad_out, Tensor qkv, Tensor? cos, Tensor? sin, bool norm) -> Tensor",
    lambda grad_out, qkv, *_: qkv.new_empty(qkv.shape),  # noqa: ARG005
)
def _backward(
    grad_out: Tensor, qkv: Tensor, cos: Tensor | None, sin: Tensor | None, norm: bool
) -> Tensor:
    grad_out, qkv, (B, T, _, H, D) = grad_out.contiguous(), qkv.contiguous(), qkv.shape
    grad = torch.empty_like(qkv)
    tables = (None if table is None else table.contiguous() for table in (cos, sin))
    call(library().gpt_turn_backward, grad, grad_out, qkv, *tables, B * T, T, H, D, EPSILON, norm)
    return grad
