"""Attention that never builds the T × T matrix, neither forward nor backward, in plain torch.

The forward pass goes over blocks of keys once. For each query it keeps the largest score so far,
and the sums of exp(score − largest) with and without the values; a larger score shrinks both sums
by exp(old − new). Their quotient is softmax(scores) v (Milakov & Gimelshein 2018,
https://arxiv.org/abs/1805.02867). The backward pass recomputes the weights from the saved log of
the sum (Dao et al. 2022, https://arxiv.org/abs/2205.14135, algorithm 4).

Products are in the inputs' dtype, sums and exponentials in float32 or better.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 128
"""Keys in a block."""


def online(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """Causal attention by online softmax; its dropout follows torch's CPU seed on any device."""
    seed = int(torch.randint(2**62, ())) if dropout_p > 0 else 0
    with torch.autocast(q.device.type, enabled=False):
        out: Tensor = _Online.apply(q, k, v, scale, dropout_p, seed)  # type: ignore[no-untyped-call]
    return out


class _Online(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float, dropout_p: float, seed: int
    ) -> Tensor:
        B, H, T, D = q.shape
        sum_dtype = torch.promote_types(q.dtype, torch.float32)
        peak = q.new_full((B, H, T, 1), float("-inf"), dtype=sum_dtype)
        total = q.new_zeros((B, H, T, 1), dtype=sum_dtype)
        out = q.new_zeros((B, H, T, D), dtype=sum_dtype)
        for start in range(0, T, BLOCK):
            rows, keys = slice(start, T), slice(start, start + BLOCK)
            scores = _scores(q, k, scale, start)  # (B, H, T − start, block)
            new_peak = torch.maximum(peak[:, :, rows], scores.amax(-1, keepdim=True))
            shrink = (peak[:, :, rows] - new_peak).exp()
            weights = scores.sub_(new_peak).exp_()
            peak[:, :, rows] = new_peak
            total[:, :, rows] = total[:, :, rows] * shrink + weights.sum(-1, keepdim=True)
            kept = _dropout(weights, dropout_p, seed + start).to(v.dtype)
            out[:, :, rows] = out[:, :, rows] * shrink + kept @ v[:, :, keys]
        out = (out / total).to(q.dtype)
        ctx.save_for_backward(q, k, v, out, peak + total.log())
        ctx.scale, ctx.dropout_p, ctx.seed = scale, dropout_p, seed
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, log_total = ctx.saved_tensors
        T, scale = q.shape[2], ctx.scale
        grad_q = torch.zeros_like(out, dtype=log_total.dtype)
        grad_k, grad_v = torch.empty_like(k), torch.empty_like(v)
        # Σⱼ weightᵢⱼ · ∂weightᵢⱼ, the softmax's own term, with or without dropout
        own = (grad_out.to(log_total.dtype) * out).sum(-1, keepdim=True)  # (B, H, T, 1)
        for start in range(0, T, BLOCK):
            rows, keys = slice(start, T), slice(start, start + BLOCK)
            scores = _scores(q, k, scale, start)  # (B, H, T − start, block)
            weights = scores.sub_(log_total[:, :, rows]).exp_()
            kept = _dropout(weights, ctx.dropout_p, ctx.seed + start).to(v.dtype)
            grad_v[:, :, keys] = kept.transpose(-2, -1) @ grad_out[:, :, rows]
            grad_kept = (grad_out[:, :, rows] @ v[:, :, keys].transpose(-2, -1)).to(weights.dtype)
            grad_weights = _dropout(grad_kept, ctx.dropout_p, ctx.seed + start)
            grad_scores = weights * (grad_weights - own[:, :, rows]) * scale
            grad_scores = grad_scores.to(q.dtype)  # (B, H, T − start, block)
            grad_q[:, :, rows] += grad_scores @ k[:, :, keys]
            grad_k[:, :, keys] = grad_scores.transpose(-2, -1) @ q[:, :, rows]
        return grad_q.to(q.dtype), grad_k, grad_v, None, None, None


def _scores(q: Tensor, k: Tensor, scale: float, start: int) -> Tensor:
    """Of the keys from `start` on, and of the queries that see any of them; −inf in the future.

    Rows and columns both count from `start`, so that the causal mask is a plain triangle.
    """
    scores = q[:, :, start:] @ k[:, :, start : start + BLOCK].transpose(-2, -1)
    scores = scores.to(torch.promote_types(q.dtype, torch.float32)).mul_(scale)
    future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
    return scores.masked_fill_(future, float("-inf"))  # (B, H, T − start, block)


def _dropout(x: Tensor, p: float, seed: int) -> Tensor:
    """Dropout by a mask that depends on the seed alone: the backward pass draws it again."""
    if p == 0:
        return x
    generator = torch.Generator(x.device).manual_seed(seed)
    kept = torch.rand(x.shape, generator=generator, device=x.device) >= p
    return x * kept / (1 - p)
