"""The head and its loss in C++, of bfloat16 on a CPU.

Its products are in bfloat16 where there is AMX (head.h), or in int8 (head_int8.h).
"""

from typing import Any

import torch
from torch import Tensor

from gpt.native.library import call, has_tiles, library, takes
from gpt.native.linear import SIDE
from gpt.native.operators import OPERATORS, operator


def takes_head(x: Tensor, bias: Tensor | None, *, int8: bool) -> bool:
    """Whether the kernels can, and should, compute a head of this input (N, C)."""
    return takes(x) and (int8 or has_tiles()) and bias is None and x.shape[1] % SIDE == 0


def native_head(
    x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, *, int8: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The cross-entropies of logits x @ weight.T in nats, and the gradients of their weighted sum.

    Args:
        x: (n, C) in bfloat16.
        weight: (V, C) in bfloat16.
        targets: (n,) int64, all within V.
        weights: (n,) in float32.
        int8: whether the products are in int8.

    Returns:
        (n,) in float32, and the gradients of x (n, C) and of weight (V, C) in bfloat16.
    """
    losses, to_x, to_weight = OPERATORS.head(x, weight, targets, weights, int8)
    return losses, to_x, to_weight


def _empty(x: Tensor, weight: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    losses = x.new_empty(len(x), dtype=torch.float32)
    return losses, x.new_empty(x.shape), weight.new_empty(weight.shape)


@operator(
    "head(Tensor x, Tensor weight, Tensor targets, Tensor weights, bool int8)"
    " -> (Tensor, Tensor, Tensor)",
    _empty,
)
def _head(
    x: Tensor, weight: Tensor, targets: Tensor, weights: Tensor, int8: bool
) -> tuple[Tensor, Tensor, Tensor]:
    inputs = [tensor.contiguous() for tensor in (x, weight, targets, weights)]
    outputs = _empty(x, weight)
    kernel = library().gpt_head_int8 if int8 else library().gpt_head
    call(kernel, *outputs, *inputs, len(x), *weight.shape)
    return outputs
