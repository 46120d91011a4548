"""What a transformer block is made of, attention aside: norms, the MLP, rotary positions.

Unusual here: norms and MLP are picked by name, so that a study can put them side by side; the norm
of q and k has no weights.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.compiler import is_compiling

from gpt.autograd import mark_kept
from gpt.config import ModelConfig
from gpt.config.model import Activation
from gpt.native.activation import native_activation
from gpt.native.library import has_tiles, takes
from gpt.native.linear import native_linear
from gpt.native.mlp import native_mlp, takes_mlp
from gpt.native.norm import native_norm
from gpt.native.turn import native_turn


def make_norm(config: ModelConfig) -> nn.Module:
    """(B, T, C) -> (B, T, C), each row normalised over its C channels, then scaled by weights."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.n_embd)
    return LayerNorm(config.n_embd, bias=config.bias)


def make_dropout(p: float) -> nn.Module:
    """Dropout, or nothing at all: for a single token even a call that does nothing takes time."""
    return nn.Dropout(p) if p else nn.Identity()


class LayerNorm(nn.LayerNorm):
    """torch's; in bfloat16 on a CPU the suite's own, if here."""

    centered = True

    @property
    def epsilon(self) -> float:
        """What is added to the variance."""
        return self.eps

    def forward(self, x: Tensor) -> Tensor:
        if not takes(x):
            return super().forward(x)
        out = native_norm(x, self.weight, epsilon=self.epsilon, centered=self.centered)
        return out if self.bias is None else out + self.bias


class RMSNorm(nn.RMSNorm):
    """torch's, whose epsilon is that of float32; in bfloat16 on a CPU the suite's own, if here."""

    centered = False
    epsilon = torch.finfo(torch.float32).eps

    def forward(self, x: Tensor) -> Tensor:
        if not takes(x):
            return super().forward(x)
        return native_norm(x, self.weight, epsilon=self.epsilon, centered=self.centered)


class Linear(nn.Linear):
    """(..., K) -> (..., M), as torch's; with AMX the gradient of its weights is the suite's own.

    Called by Python, that is worth its while for many tokens alone.
    """

    FEWEST_TOKENS = 1024

    int8 = False
    """Whether it multiplies in int8 while it is trained (`gpt.precision`)."""

    @property
    def in_int8(self) -> bool:
        """Whether it does so now."""
        return self.int8 and self.training

    def forward(self, x: Tensor) -> Tensor:
        if self.in_int8:
            return native_linear(x, self.weight, self.bias, int8=True)
        if takes(x) and has_tiles() and (is_compiling() or _n_tokens(x) >= self.FEWEST_TOKENS):
            return native_linear(x, self.weight, self.bias)
        return super().forward(x)


def _n_tokens(x: Tensor) -> int:
    return x.numel() // x.shape[-1]


def relu_squared(x: Tensor) -> Tensor:
    """relu(x)², elementwise (So et al. 2021, Primer, https://arxiv.org/abs/2109.08668)."""
    return F.relu(x).square()


def gelu(x: Tensor) -> Tensor:
    """x · Φ(x), elementwise, exact (Hendrycks & Gimpel 2016, https://arxiv.org/abs/1606.08415).

    torch's own; but what a compiler makes of that for a CPU takes an erf forward and another
    backward, each as dear as a matrix product, so it is given one exponential instead.
    """
    if x.device.type == "cpu" and is_compiling():
        out: Tensor = _GeluWithSlope.apply(x)[0]  # type: ignore[no-untyped-call]
        return out
    return F.gelu(x)


class _GeluWithSlope(torch.autograd.Function):
    """GELU, and its derivative at once: both need exp(-x²/2).

    Φ is Abramowitz and Stegun's (1964, 7.1.26), to 3e-7.
    """

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        z = x.float()
        bell = torch.exp2(z.square() * (-0.5 * math.log2(math.e)))
        t = 1 / (1 + 0.3275911 * math.sqrt(0.5) * z.abs())
        tail = 1.421413741 + t * (-1.453152027 + t * 1.061405429)
        tail = 0.5 * bell * t * (0.254829592 + t * (-0.284496736 + t * tail))
        cdf = torch.where(z < 0, tail, 1 - tail)
        slope = cdf + z * bell * (1 / math.sqrt(2 * math.pi))
        return (z * cdf).to(x.dtype), slope.to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:  # noqa: ARG004
        mark_kept(ctx, output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (slope,) = ctx.saved_tensors
        out: Tensor = grads[0] * slope
        return out


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": gelu,
    "relu2": relu_squared,
}


def activate(x: Tensor, name: Activation) -> Tensor:
    """The activation of this name, elementwise; in bfloat16 on a CPU the suite's own, if here."""
    if takes(x):
        return native_activation(x, name)
    return ACTIVATIONS[name](x)


class MLP(nn.Module):
    """(B, T, C) -> (B, T, C): each token alone, through a hidden layer four times as wide."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        C = config.n_embd
        self.expand = Linear(C, 4 * C, bias=config.bias)
        self.activation = config.activation
        self.projection = Linear(4 * C, C, bias=config.bias)
        self.dropout = make_dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        expand, projection = self.expand, self.projection
        if not expand.in_int8 and takes_mlp(x, expand, projection):
            x = native_mlp(x, expand.weight, projection.weight, self.activation)  # (B, T, C)
        else:
            hidden = activate(expand(x), self.activation)  # (B, T, 4C)
            x = projection(hidden)  # (B, T, C)
        out: Tensor = self.dropout(x)
        return out


class QueryKeyTransform(nn.Module):
    """(..., T, D) -> (..., T, D): what happens to q, and to k, on the way to their product.

    Rotary positions turn each pair of channels (d, d + D/2) by an angle that grows with the
    position, so that a score depends on the distance of two tokens alone (Su et al. 2021,
    https://arxiv.org/abs/2104.09864). The norm divides by the root mean square over D (Henry et
    al. 2020, https://arxiv.org/abs/2010.04245, here without weights). Either, both or neither.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig, base: float = 10_000.0) -> None:
        super().__init__()
        self.rotary = config.position == "rotary"
        self.norm = config.qk_norm
        self.head_size = D = config.head_size
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

    @property
    def can_pack(self) -> bool:
        """Whether `packed` can do it: pair by pair, so an odd head size is left to torch."""
        return self.is_identity or self.head_size % 2 == 0

    def angles(self, T: int) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """cos and sin of the first T positions, (T, D / 2) each, if they are rotary."""
        if not self.rotary:
            return None, None
        half = self.cos.shape[1] // 2
        return self.cos[:T, half:], self.sin[:T, half:]

    def packed(self, qkv: Tensor) -> Tensor:
        """The same to q and k in one tensor with v, (B, T, 3, H, D) in bfloat16 on a CPU."""
        if self.is_identity:
            return qkv
        return native_turn(qkv, *self.angles(qkv.shape[1]), norm=self.norm)

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
