"""What a transformer block is made of, attention aside: norms, the MLP, rotary positions.

Unusual here: norms and MLP are picked by name, so that a study can put them side by side; the norm
of q and k has no weights.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt.config import ModelConfig
from gpt.config.model import Activation


def make_norm(config: ModelConfig) -> nn.Module:
    """(B, T, C) -> (B, T, C), each row normalised over its C channels, then scaled by weights."""
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.n_embd)
    return nn.LayerNorm(config.n_embd, bias=config.bias)


def make_dropout(p: float) -> nn.Module:
    """Dropout, or the identity for p = 0: for a single token even an idle dropout takes time."""
    return nn.Dropout(p) if p else nn.Identity()


def relu_squared(x: Tensor) -> Tensor:
    """relu(x)², elementwise (So et al. 2021, Primer, https://arxiv.org/abs/2109.08668)."""
    return F.relu(x).square()


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,  # x · Φ(x), exact (Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415)
    "relu2": relu_squared,
}
"""Elementwise, by name."""


class MLP(nn.Module):
    """(B, T, C) -> (B, T, C): each token alone, through a hidden layer four times as wide."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        C = config.n_embd
        self.expand = nn.Linear(C, 4 * C, bias=config.bias)
        self.activation = ACTIVATIONS[config.activation]
        self.projection = nn.Linear(4 * C, C, bias=config.bias)
        self.dropout = make_dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.expand(x))  # (B, T, 4C)
        out: Tensor = self.dropout(self.projection(hidden))  # (B, T, C)
        return out


class QueryKeyTransform(nn.Module):
    """(..., T, D) -> (..., T, D): what happens to q, and to k, on the way to their product.

    Rotary position embeddings rotate each pair of channels (d, d + D/2) by an angle proportional
    to the position, so that a score depends on the distance of two tokens alone (Su et al. 2021,
    https://arxiv.org/abs/2104.09864). The norm divides by the root mean square over D (Henry et
    al. 2020, https://arxiv.org/abs/2010.04245, here without weights).
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig, base: float = 10_000.0) -> None:
        super().__init__()
        self.rotary = config.position == "rotary"
        self.norm = config.qk_norm
        D = config.head_size
        if self.rotary:
            frequencies = base ** (-torch.arange(0, D, 2) / D)  # (D/2,)
            angles = torch.outer(torch.arange(config.block_size), frequencies)  # (block, D/2)
            self.register_buffer("cos", angles.cos().repeat(1, 2), persistent=False)
            signed = torch.cat((-angles.sin(), angles.sin()), dim=1)  # (block, D)
            self.register_buffer("sin", signed, persistent=False)

    @property
    def is_identity(self) -> bool:
        """Whether nothing happens."""
        return not (self.rotary or self.norm)

    def forward(self, x: Tensor, start: int | Tensor = 0) -> Tensor:
        """`x` holds the tokens at positions start, start + 1, …, or one at start (1,); its dtype
        is kept."""
        dtype = x.dtype
        if self.rotary:
            T = x.shape[-2]
            cos, sin = (
                table[start] if isinstance(start, Tensor) else table[start : start + T]
                for table in (self.cos, self.sin)
            )  # (T, D)
            other = x.roll(x.shape[-1] // 2, dims=-1)  # each channel's partner in its pair
            x = x * cos + other * sin
        if self.norm:
            x = F.rms_norm(x, x.shape[-1:])
        return x.to(dtype)
