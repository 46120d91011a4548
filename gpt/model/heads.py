"""Multi-head attention, its weights laid out in two ways that compute the same function.

`FusedAttention` makes q, k and v of all heads by one matrix and calls a kernel by name.
`PerHeadAttention` is the originals' way: a module for each head, with its own matrices and mask.
"""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from gpt.attention import KERNELS
from gpt.attention.cache import LayerCache
from gpt.config import ModelConfig
from gpt.model.layers import QueryKeyTransform, make_dropout


def attention_scale(config: ModelConfig) -> float:
    """What q kᵀ is multiplied by. The originals scale by C where Vaswani et al. scale by D."""
    sizes = {"head_size": config.head_size, "n_embd": config.n_embd, "none": 1}
    return float(sizes[config.attention_scale] ** -0.5)


def make_attention(config: ModelConfig) -> nn.Module:
    """(B, T, C) -> (B, T, C), in the layout that the config names."""
    return PerHeadAttention(config) if config.attention == "per_head" else FusedAttention(config)


class FusedAttention(nn.Module):
    """All heads by one matrix and one kernel."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        C = config.n_embd
        self.n_head = config.n_head
        self.scale = attention_scale(config)
        self.kernel = KERNELS[config.kernel]
        self.weight_dropout = config.dropout
        self.qkv = nn.Linear(C, 3 * C, bias=config.qkv_bias)
        self.transform = QueryKeyTransform(config)
        self.projection = nn.Linear(C, C, bias=config.bias)
        self.dropout = make_dropout(config.dropout)

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        B, T, C = x.shape
        qkv = self.qkv(x).view(B, T, 3, self.n_head, C // self.n_head)  # (B, T, 3, H, D)
        out = self._attend(*self._transformed(qkv, cache), cache)  # (B, H, T, D)
        out = out.transpose(1, 2).reshape(B, T, C)  # -> (B, T, H, D) -> (B, T, C)
        projected: Tensor = self.dropout(self.projection(out))
        return projected

    def _transformed(self, qkv: Tensor, cache: LayerCache | None) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v (B, H, T, D) of (B, T, 3, H, D)."""
        qkv = qkv.transpose(1, 3)  # (B, H, 3, T, D)
        if self.transform.is_identity:
            q, k, v = qkv.unbind(2)
            return q, k, v
        qk, v = torch.split(qkv, [2, 1], dim=2)
        q, k = self.transform(qk, 0 if cache is None else cache.start).unbind(2)
        return q, k, v.squeeze(2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, cache: LayerCache | None) -> Tensor:
        if cache is not None:
            return cache.attend(q, k, v, scale=self.scale)
        dropout_p = self.weight_dropout if self.training else 0.0
        return self.kernel.attend(q, k, v, scale=self.scale, dropout_p=dropout_p)


class Head(nn.Module):
    """(B, T, C) -> (B, T, D): one head, alone."""

    tril: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        C, D, T = config.n_embd, config.head_size, config.block_size
        self.scale = attention_scale(config)
        self.key = nn.Linear(C, D, bias=config.qkv_bias)
        self.query = nn.Linear(C, D, bias=config.qkv_bias)
        self.value = nn.Linear(C, D, bias=config.qkv_bias)
        self.transform = QueryKeyTransform(config)
        self.dropout = make_dropout(config.dropout)
        self.register_buffer("tril", torch.ones(T, T).tril(), persistent=False)

    def project(self, x: Tensor, start: int | Tensor = 0) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v (B, T, D) of the tokens at positions start, start + 1, …"""
        q, k = self.transform(self.query(x), start), self.transform(self.key(x), start)
        return q, k, self.value(x)

    def forward(self, x: Tensor) -> Tensor:
        T = x.shape[1]
        q, k, v = self.project(x)
        scores = q @ k.transpose(-2, -1) * self.scale  # (B, T, D) @ (B, D, T) -> (B, T, T)
        scores = scores.masked_fill(self.tril[:T, :T] == 0, float("-inf"))
        weights: Tensor = self.dropout(scores.softmax(dim=-1))
        return weights @ v  # (B, T, T) @ (B, T, D) -> (B, T, D)


class PerHeadAttention(nn.Module):
    """A module a head, then the projection of their outputs side by side."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scale = attention_scale(config)
        self.heads = nn.ModuleList(Head(config) for _ in range(config.n_head))
        self.projection = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = make_dropout(config.dropout)

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        if cache is None:
            outs = [head(x) for head in self.heads]  # H times (B, T, D)
        else:
            heads = cast(Iterable[Head], self.heads)
            projected = [head.project(x, cache.start) for head in heads]
            q, k, v = (torch.stack(parts, dim=1) for parts in zip(*projected, strict=True))
            outs = list(cache.attend(q, k, v, scale=self.scale).unbind(1))
        out: Tensor = self.dropout(self.projection(torch.cat(outs, dim=-1)))  # (B, T, C)
        return out
