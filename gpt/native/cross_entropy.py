"""The cross-entropy of logits and its gradient in one go, in C++ (cross_entropy.h), on a CPU."""

import torch
from torch import Tensor

from gpt.native.library import call, library
from gpt.native.operators import OPERATORS, operator


def native_cross_entropy(
    logits: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss of each row in nats, and the gradient of their weighted sum to the logits.

    Args:
        logits: (n, V) in bfloat16.
        targets: (n,) int64, all within V.
        weights: (n,) in float32.

    Returns:
        (n,) in float32, and (n, V) in bfloat16.
    """
    losses, grad = OPERATORS.cross_entropy(logits, targets, weights)
    return losses, grad


def _empty(logits: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    grad = torch.empty_like(logits, memory_format=torch.contiguous_format)
    return logits.new_empty(len(logits), dtype=torch.float32), grad


@operator(
    "cross_entropy(Tensor logits, Tensor targets, Tensor weights) -> (Tensor, Tensor)", _empty
)
def _cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    inputs = [x.contiguous() for x in (logits, targets, weights)]
    losses, grad = _empty(*inputs)
    call(library().gpt_cross_entropy, losses, grad, *inputs, *logits.shape)
    return losses, grad
