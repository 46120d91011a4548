"""An MLP in C++, forward and backward (mlp.h), in bfloat16 on a CPU with AMX.

Left out: biases, and matrices whose gradients' sums don't fit a core's cache.
"""

from typing import Any

import torch
from torch import Tensor, nn

from gpt.autograd import mark_kept
from gpt.config.model import Activation
from gpt.native.activation import GELU, NUMBERS
from gpt.native.library import call, has_tiles, library, takes
from gpt.native.linear import SIDE, is_small
from gpt.native.operators import OPERATORS, operator


def takes_mlp(x: Tensor, expand: nn.Linear, projection: nn.Linear) -> bool:
    """Whether the kernels can, and should, compute an MLP of these two."""
    return (
        takes(x)
        and has_tiles()
        and expand.bias is projection.bias is None
        and is_small(expand.weight, projection.weight)
    )


def native_mlp(x: Tensor, expand: Tensor, projection: Tensor, name: Activation) -> Tensor:
    """projection @ activation(expand @ x).

    Args:
        x: (..., C).
        expand: (H, C).
        projection: (C, H).

    Returns:
        (..., C).
    """
    out: Tensor = _MLP.apply(x, expand, projection, NUMBERS[name])[0]  # type: ignore[no-untyped-call]
    return out


class _MLP(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor, expand: Tensor, projection: Tensor, number: int
    ) -> tuple[Tensor, Tensor]:
        out, hidden = OPERATORS.mlp(x, expand, projection, number)
        return out, hidden

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, expand, projection, ctx.number = inputs
        ctx.save_for_backward(x, output[1], expand, projection)
        mark_kept(ctx, output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        to_all = OPERATORS.mlp_backward(grads[0], *ctx.saved_tensors, ctx.number)
        return *to_all, None


def _empty(x: Tensor, expand: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    H, C = expand.shape
    rows = -(-x.numel() // (C * SIDE)) * SIDE  # whole squares
    return x.new_empty(x.shape), x.new_empty((rows, H))


@operator(
    "mlp(Tensor x, Tensor expand, Tensor projection, int number) -> (Tensor, Tensor)", _empty
)
def _forward(x: Tensor, expand: Tensor, projection: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The output, and the hidden layer before its activation, in squares."""
    inputs = [tensor.contiguous() for tensor in (x, expand, projection)]
    out, hidden = _empty(x, expand)
    call(library().gpt_mlp, out, hidden, *inputs, *_sizes(x, expand), number, GELU)
    return out, hidden


@operator(
    "mlp_backward(Tensor grad_out, Tensor x, Tensor hidden, Tensor expand, Tensor projection,"
    " int number) -> (Tensor, Tensor, Tensor)",
    lambda _, x, __, *matrices_and_number: tuple(
        tensor.new_empty(tensor.shape) for tensor in (x, *matrices_and_number[:2])
    ),
)
def _backward(
    grad_out: Tensor, x: Tensor, hidden: Tensor, expand: Tensor, projection: Tensor, number: int
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = [tensor.contiguous() for tensor in (grad_out, x, hidden, expand, projection)]
    grads = x.new_empty(x.shape), torch.empty_like(expand), torch.empty_like(projection)
    call(library().gpt_mlp_backward, *grads, *inputs, *_sizes(x, expand), number, GELU)
    return grads


def _sizes(x: Tensor, expand: Tensor) -> tuple[int, int, int]:
    """Tokens, channels, hidden channels."""
    H, C = expand.shape
    return x.numel() // C, C, H
