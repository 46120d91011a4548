"""The key–value cache, with which generation computes each token once.

Without it, the n-th token costs a forward pass over n tokens; with it, over one. It ends with the
block: beyond it the window moves on, all positions change, and all is computed anew.

A CUDA graph (`gpt.acceleration.cuda_graph`) launches the same kernels on the same memory each
time. There the position of the token is read from the device, and later positions are masked.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.errors import ConfigError


class LayerCache:
    """The keys and values of one layer, for up to `block_size` tokens. Inference only."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.length = 0
        self.position: Tensor | None = None  # (1,), see `KVCache.at`
        self.mask: Tensor | None = None  # (1, block_size), the positions up to there
        self._kept: tuple[Tensor, Tensor] | None = None  # keys and values (B, H, block_size, D)

    @property
    def start(self) -> int | Tensor:
        """The position of the next token."""
        return self.length if self.position is None else self.position

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0
    ) -> Tensor:
        """Append S new tokens and let them attend to all so far: (B, H, S, D) -> (B, H, S, D).

        Raises:
            ConfigError: if they don't fit.
        """
        if self.position is not None:
            return self._attend_at(self.position, q, k, v, scale)
        S, T = q.shape[-2], self.length + q.shape[-2]
        if self.block_size < T:
            raise ConfigError(f"a cache must hold at most {self.block_size} tokens but got {T}")
        if self._kept is None:
            shape = (*k.shape[:2], self.block_size, k.shape[3])
            self._kept = k.new_zeros(shape), v.new_zeros(shape)  # none may be NaN, even unseen
        for kept, new in zip(self._kept, (k, v), strict=True):
            kept.narrow(2, self.length, S).copy_(new.detach())
        self.length = T
        keys, values = (kept.narrow(2, 0, T) for kept in self._kept)  # (B, H, T, D) each
        if S == 1:  # a single new token has no future
            return F.scaled_dot_product_attention(
                q, keys, values, dropout_p=dropout_p, scale=scale
            )
        scores = q @ keys.transpose(-2, -1) * scale  # (B, H, S, T)
        future = torch.ones(S, T, dtype=torch.bool, device=q.device).triu(T - S + 1)
        scores = scores.masked_fill(future, float("-inf"))
        weights = F.dropout(scores.softmax(dim=-1), dropout_p)  # (B, H, S, T)
        return weights @ values  # (B, H, S, T) @ (B, H, T, D) -> (B, H, S, D)

    def _attend_at(self, at: Tensor, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """The same for one token (B, H, 1, D), whose position only the device knows."""
        if self._kept is None:
            raise AssertionError("the first tokens of a text must be passed without a position")
        for kept, new in zip(self._kept, (k, v), strict=True):
            kept.index_copy_(2, at, new)
        return F.scaled_dot_product_attention(q, *self._kept, attn_mask=self.mask, scale=scale)


class KVCache:
    """One `LayerCache` for each layer of a model."""

    def __init__(self, n_layer: int, block_size: int) -> None:
        self.layers = [LayerCache(block_size) for _ in range(n_layer)]

    @property
    def length(self) -> int:
        """Tokens seen so far."""
        return self.layers[-1].length

    @property
    def start(self) -> int | Tensor:
        """The position of the next token."""
        return self.layers[-1].start

    def forget(self) -> None:
        """Begin another text, in the same memory."""
        for layer in self.layers:
            layer.length = 0

    @contextmanager
    def at(self, position: Tensor) -> Iterator[None]:
        """`with cache.at(position):` puts a single token at a position (1,) of a text whose first
        tokens the cache has seen; later positions are masked."""
        positions = torch.arange(self.layers[0].block_size, device=position.device)
        mask = (positions <= position)[None]  # the same for all layers
        for layer in self.layers:
            layer.position, layer.mask = position, mask
        try:
            yield
        finally:
            for layer in self.layers:
                layer.position = layer.mask = None


def incremental(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0
) -> Tensor:
    """The whole sequence, one token at a time through a cache. Forward only."""
    T = q.shape[-2]
    cache = LayerCache(T)
    outs = [
        cache.attend(*(x[:, :, t : t + 1] for x in (q, k, v)), scale=scale, dropout_p=dropout_p)
        for t in range(T)
    ]
    return torch.cat(outs, dim=-2)  # T times (B, H, 1, D) -> (B, H, T, D)
