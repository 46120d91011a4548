"""Cross-entropy from the head's input, without ever holding the logits of a whole batch.

With a large vocabulary the logits take most of the memory traffic: they are written, read by the
softmax, kept, and read again by the backward pass. Here the loss of a few rows at a time, and its
gradients where they are wanted, are computed while the logits are still in the cache. The backward
pass only scales these gradients (Hsu et al. 2024, Liger Kernel, section 3.2,
https://arxiv.org/abs/2410.10989).

The loss scale of float16 is not known before the backward pass. A token's share of a mean over
thousands would be too small for float16 without it, and too large with a scale of 65,536. So the
gradients are computed with a scale of our own, `_gradient_scale`, and rescaled in float32. It is a
power of two, so that no bit changes in other precisions.

Letters: N tokens, C channels, V vocabulary.
"""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["mean", "sum"]

IGNORE_INDEX = -100
"""A target that is not predicted: it adds nothing to the loss, nor to the mean's denominator."""

LOG2_E = math.log2(math.e)

CHUNK_BYTES = {"cpu": 1 << 22, "cuda": 1 << 28, "mps": 1 << 26}
"""Logits held at once: what a core's cache holds, or what keeps a GPU busy."""


def cross_entropy(logits: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
    """The cross-entropy in nats of logits (N, V) and targets (N,), computed in float32."""
    return F.cross_entropy(logits.float(), targets, ignore_index=IGNORE_INDEX, reduction=reduction)


def chunked_cross_entropy(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    reduction: Reduction,
) -> Tensor:
    """`cross_entropy(x @ weight.T + bias, targets)`, a few rows at a time, of the head's input
    (N, C), its weight (V, C) and bias (V,), and int64 targets (N,)."""
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    differentiate = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    with torch.autocast(x.device.type, enabled=False):  # or the loss would be in its dtype
        outputs: tuple[Tensor, ...] = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            x, weight, bias, targets, reduction, differentiate
        )
    return outputs[0]


MAX_SCALE = 1024.0


def _gradient_scale(n_tokens: int, reduction: Reduction) -> float:
    """The power of two by which a mean's gradients are multiplied, so that float16 can hold them.

    A sum over all tokens is then at most `MAX_SCALE` times the largest of their terms.
    """
    return 1.0 if reduction == "sum" else min(MAX_SCALE, 2.0 ** (n_tokens - 1).bit_length())


def _softmax(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The losses (n,) of logits (n, V); the softmax, still to be divided by its sums (n, 1).

    Its exponentials are powers of two: on a CPU torch takes those eight times faster.
    """
    z = logits.float()
    of_target = z.gather(1, targets[:, None]).squeeze(1)  # (n,)
    top = z.amax(1, keepdim=True)
    powers = z.sub_(top).mul_(LOG2_E).exp2_()
    total = powers.sum(1, keepdim=True)
    return (top + total.log()).squeeze(1) - of_target, powers, total


def _differentiated(logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The losses (n,), and the gradient (n, V) of their weighted sum: softmax less target."""
    losses, powers, total = _softmax(logits, targets)
    column = targets[:, None]  # (n, 1)
    factor = weights[:, None] / total
    right = powers.gather(1, column) * factor - weights[:, None]
    grad = powers.mul_(factor).to(logits.dtype)
    return losses, grad.scatter_(1, column, right.to(logits.dtype))


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Loss and gradients in one pass; sums over chunks are kept in float32."""

    @staticmethod
    def forward(
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        reduction: Reduction,
        differentiate: bool,
    ) -> tuple[Tensor, ...]:
        """The loss, and with `differentiate` its scaled gradients to x, weight and bias."""
        predicted = targets != IGNORE_INDEX  # (N,)
        share = predicted.float()
        if reduction == "mean":
            share /= predicted.sum()
        weights = share * _gradient_scale(len(x), reduction)
        targets = targets.where(predicted, 0)  # (N,)
        V = len(weight)
        losses = torch.empty(len(x), device=x.device)
        if differentiate:
            x_grad = torch.empty_like(x)
            weight_grad = torch.zeros_like(weight, dtype=torch.float32)
            bias_grad = torch.zeros(V, device=x.device)
        rows = max(1, CHUNK_BYTES[x.device.type] // (V * 4))  # the logits become float32
        for start in range(0, len(x), rows):
            part = slice(start, start + rows)
            logits = F.linear(x[part], weight, bias)  # (n, V)
            if not differentiate:
                losses[part] = _softmax(logits, targets[part])[0]
                continue
            losses[part], grad = _differentiated(logits, targets[part], weights[part])
            torch.mm(grad, weight, out=x_grad[part])  # (n, V) @ (V, C)
            weight_grad += grad.T @ x[part]  # (V, n) @ (n, C)
            if bias is not None:
                bias_grad += grad.sum(0, dtype=torch.float32)
        loss = losses @ share
        if not differentiate:
            return (loss,)
        return loss, x_grad, weight_grad, bias_grad

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, _weight, bias, _targets, reduction, _ = inputs
        ctx.has_bias, ctx.dtype = bias is not None, x.dtype
        ctx.scale = _gradient_scale(len(x), reduction)
        ctx.save_for_backward(*output[1:])
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # torch would fill one of zeros for each of them

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (scale, *_), dtype = grads, ctx.dtype
        if scale is None:
            return (None,) * 6
        factor = scale.float() / ctx.scale
        x_grad, weight_grad, bias_grad = (
            (grad.float() * factor).to(dtype) for grad in ctx.saved_tensors
        )
        return x_grad, weight_grad, bias_grad if ctx.has_bias else None, None, None, None
