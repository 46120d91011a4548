"""Keys and values remembered, so that generation computes each token once.

Without a cache, the n-th token costs a forward pass over n tokens; with it, over one. For a model
with learned positions a cache ends with the block: beyond it the window slides, every position
changes, and all must be computed anew.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.errors import ConfigError


class LayerCache:
    """The keys and values of one layer, for up to `block_size` tokens. Inference only."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.length = 0
        self._kept: tuple[Tensor, Tensor] | None = None  # keys, values (B, H, block_size, D)

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0
    ) -> Tensor:
        """Append S new tokens and let them attend to all so far: (B, H, S, D) -> (B, H, S, D).

        Raises:
            ConfigError: if they don't fit.
        """
        S, T = q.shape[-2], self.length + q.shape[-2]
        if self.block_size < T:
            raise ConfigError(f"a cache must hold at most {self.block_size} tokens but got {T}")
        if self._kept is None:
            shape = (*k.shape[:2], self.block_size, k.shape[3])
            self._kept = k.new_empty(shape), v.new_empty(shape)
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


class KVCache:
    """One `LayerCache` for each layer of a model."""

    def __init__(self, n_layer: int, block_size: int) -> None:
        self.layers = [LayerCache(block_size) for _ in range(n_layer)]

    @property
    def length(self) -> int:
        """Tokens seen so far."""
        return self.layers[-1].length


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
