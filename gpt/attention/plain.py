"""Attention by its definition: the whole T × T matrix of scores, then its softmax."""

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
    """A Python loop over the heads, as in the originals, each with `matmul`'s arithmetic."""
    heads = zip(q.unbind(1), k.unbind(1), v.unbind(1), strict=True)  # (B, T, D) each
    return torch.stack(
        [matmul(*head, scale=scale, dropout_p=dropout_p) for head in heads], dim=1
    )  # (B, H, T, D)


def added_mask(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """`matmul` with scale and mask, 0 or -inf, folded into the first product: two passes over the
    T × T matrix less forward, and two less backward."""
    B, H, T, _ = q.shape
    q, k, v = q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1)  # (B·H, T, D) each
    mask = q.new_full((T, T), float("-inf")).triu(1)
    scores = torch.baddbmm(mask, q, k.transpose(-2, -1), alpha=scale)  # (B·H, T, T)
    weights = F.dropout(scores.softmax(dim=-1), dropout_p)
    return (weights @ v).view(B, H, T, -1)  # (B·H, T, D) -> (B, H, T, D)
