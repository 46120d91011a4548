"""Transformer blocks as one call in C++, forward and backward (block.cpp), of bfloat16 on a CPU.

Their norms, maps, attention and MLP are the kernels that the layers call one by one (in bfloat16
without AMX they leave the maps to oneDNN); what is saved are a dozen ways through Python and torch
each way and block, a tenth of a small model's step. Left out: biases and dropout.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gpt.autograd import mark_kept
from gpt.config.model import Activation
from gpt.native.activation import GELU, NUMBERS
from gpt.native.library import call, library
from gpt.native.linear import SIDE
from gpt.native.operators import OPERATORS, operator
from gpt.native.turn import EPSILON


@dataclass(frozen=True)
class BlockSettings:
    """What blocks are besides their weights."""

    n_head: int
    scale: float
    epsilon: float
    """Of the norms of tokens."""

    centered: bool
    """LayerNorm, not RMSNorm."""

    qk_norm: bool
    activation: Activation
    int8: bool
    """Whether its maps multiply in int8."""


def native_blocks(
    x: Tensor,
    weights: tuple[Tensor, ...],
    angles: tuple[Tensor | None, Tensor | None],
    settings: BlockSettings,
) -> Tensor:
    """(B, T, C) -> (B, T, C), as one `gpt.block.Block` after another.

    Args:
        weights: block after block, those of the norm, qkv and projection of attention, then of
            norm, expansion and projection of the MLP. Sides of matrices are multiples of SIDE.
        angles: cos and sin of the rotary positions, (T, D / 2) each, or None.
    """
    outputs: tuple[Tensor, ...] = _Blocks.apply(x, *angles, settings, *weights)  # type: ignore[no-untyped-call]
    return outputs[0]


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor,
        cos: Tensor | None,
        sin: Tensor | None,
        settings: BlockSettings,
        *weights: Tensor,
    ) -> tuple[Tensor, ...]:
        return tuple(OPERATORS.blocks(x, weights, cos, sin, *_numbers(settings)))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, cos, sin, ctx.settings, *weights = inputs
        _, *kept = output
        ctx.n_kept = len(kept)
        ctx.save_for_backward(x, cos, sin, *kept, *weights)
        mark_kept(ctx, *kept)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, cos, sin, *rest = ctx.saved_tensors
        kept, weights = rest[: ctx.n_kept], rest[ctx.n_kept :]
        to_x, *to_weights = OPERATORS.blocks_backward(
            grads[0], kept, x, weights, cos, sin, *_numbers(ctx.settings)
        )
        return to_x, None, None, None, *to_weights


def _numbers(s: BlockSettings) -> tuple[Any, ...]:
    """In the order of `_SETTINGS`."""
    activation = NUMBERS[s.activation]
    return s.n_head, s.scale, s.epsilon, s.centered, s.qk_norm, activation, s.int8


WEIGHTS = 6
"""Of a block."""

_SETTINGS = "int H, float scale, float epsilon, bool centered, bool qk_norm, int number, bool int8"


def _empty(
    x: Tensor,
    weights: list[Tensor],
    cos: Tensor | None,
    sin: Tensor | None,  # noqa: ARG001
    H: int,
    scale: float,  # noqa: ARG001
    epsilon: float,  # noqa: ARG001
    centered: bool,  # noqa: ARG001
    qk_norm: bool,
    number: int,  # noqa: ARG001
    int8: bool,
) -> list[Tensor]:
    """The output; what is kept (`Kept` of block.cpp), in float32 of all blocks and in bfloat16 of
    each, so that no piece of memory need be as large as all of them."""
    (B, T, C), M, L = x.shape, len(weights[4]), len(weights) // WEIGHTS
    n = B * T
    turned = 3 if cos is not None or qk_norm else 0
    hidden = 2 * n if int8 else -(-n // SIDE) * SIDE
    values = (7 + turned) * n * C + hidden * M
    numbers = x.new_empty(L * (4 + 2 * H) * n, dtype=torch.float32)
    return [
        x.new_empty(x.shape),
        numbers,
        *(x.new_empty(values + (n * C if block else 0)) for block in range(L)),
    ]


@operator(
    f"blocks(Tensor x, Tensor[] weights, Tensor? cos, Tensor? sin, {_SETTINGS}) -> Tensor[]",
    _empty,
)
def _forward(
    x: Tensor, weights: list[Tensor], cos: Tensor | None, sin: Tensor | None, *numbers: Any
) -> list[Tensor]:
    x, cos, sin, *weights = _contiguous(x, cos, sin, *weights)
    out, kept_numbers, *values = outputs = _empty(x, weights, cos, sin, *numbers)
    settings = _settings(x, weights, cos, sin, *numbers)
    call(
        library().gpt_blocks, out, _addresses(values), kept_numbers, x, _addresses(weights),
        settings,
    )  # fmt: skip
    return outputs


@operator(
    "blocks_backward(Tensor grad, Tensor[] kept, Tensor x, Tensor[] weights,"
    f" Tensor? cos, Tensor? sin, {_SETTINGS}) -> Tensor[]",
    lambda grad, kept, x, weights, *_: [t.new_empty(t.shape) for t in (x, *weights)],  # noqa: ARG005
)
def _backward(
    grad: Tensor,
    kept: list[Tensor],
    x: Tensor,
    weights: list[Tensor],
    cos: Tensor | None,
    sin: Tensor | None,
    *how: Any,
) -> list[Tensor]:
    grad, x, cos, sin, *weights = _contiguous(grad, x, cos, sin, *weights)
    grads = [torch.empty_like(tensor) for tensor in (x, *weights)]
    settings = _settings(x, weights, cos, sin, *how)
    numbers, *values = kept
    call(
        library().gpt_blocks_backward, grads[0], _addresses(grads[1:]), grad, _addresses(values),
        numbers, x, _addresses(weights), settings,
    )  # fmt: skip
    return grads


class _Settings(ctypes.Structure):
    """`Settings` of block.cpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("cos", "sin", "gelu")),
        *((name, ctypes.c_int64) for name in ("L", "B", "T", "H", "D", "M")),
        *((name, ctypes.c_float) for name in ("scale", "norm_epsilon", "turn_epsilon")),
        *((name, ctypes.c_int) for name in ("centered", "turn_norm", "activation", "int8")),
    )


def _settings(
    x: Tensor,
    weights: list[Tensor],
    cos: Tensor | None,
    sin: Tensor | None,
    H: int,
    scale: float,
    epsilon: float,
    *flags: int,
) -> Any:
    """What both kernels need to know besides the tensors that they get."""
    B, T, C = x.shape
    angles = (None if table is None else table.data_ptr() for table in (cos, sin))
    sizes = len(weights) // WEIGHTS, B, T, H, C // H, len(weights[4])
    known = _Settings(*angles, ctypes.addressof(GELU), *sizes, scale, epsilon, EPSILON, *flags)
    return ctypes.byref(known)


def _contiguous(*tensors: Tensor | None) -> list[Any]:
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def _addresses(tensors: list[Tensor]) -> Any:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
