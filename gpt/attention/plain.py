"""Attention as it is written on the blackboard: the whole T × T matrix, then its softmax.

`matmul` does all heads at once; `per_head` one after another, as the originals' modules do.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def matmul(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """Matmul, softmax, matmul; works for one head (B, T, D) too, or any other leading sizes."""
    T = q.shape[-2]
    future = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1)
    scores = (q @ k.transpose(-2, -1) * scale).masked_fill(future, float("-inf"))  # (B, H, T, T)
    weights = F.dropout(scores.softmax(dim=-1), dropout_p)
    return weights @ v  # (B, H, T, D)


def per_head(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """A Python loop over the heads, each with `matmul`'s arithmetic."""
    heads = zip(q.unbind(1), k.unbind(1), v.unbind(1), strict=True)  # (B, T, D) each
    return torch.stack(
        [matmul(*head, scale=scale, dropout_p=dropout_p) for head in heads], dim=1
    )  # (B, H, T, D)
