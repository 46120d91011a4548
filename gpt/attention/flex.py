"""FlexAttention: the mask is a Python function, from which torch compiles a fused kernel.

Dong et al. 2024, https://arxiv.org/abs/2412.05496. It is always compiled: uncompiled it builds the
T × T matrix. Where a new shape exceeds torch's recompile limit, it raises.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from gpt.errors import InfeasibleError

RECOMPILE_LIMIT = 64
"""Variants (dtype, shape, scale, with gradient or not) that a process may compile. torch's own
limit, 8, suits a model and is too low for a benchmark."""


def flex(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """FlexAttention with a causal mask, whose empty blocks are skipped.

    Raises:
        InfeasibleError: with dropout, which FlexAttention lacks.
    """
    if dropout_p > 0:
        raise InfeasibleError(f"FlexAttention has no dropout but got {dropout_p}; set it to 0")
    T = q.shape[-2]
    return _compiled()(q, k, v, block_mask=_causal_mask(T, q.device), scale=scale)


def _not_future(b: Tensor, h: Tensor, row: Tensor, column: Tensor) -> Tensor:  # noqa: ARG001
    return row >= column


@functools.lru_cache(maxsize=32)
def _causal_mask(T: int, device: torch.device) -> BlockMask:
    """Which blocks of the T × T scores have something to compute; the same for all B and H."""
    return create_block_mask(_not_future, None, None, T, T, device=str(device))


@functools.cache
def _compiled() -> Callable[..., Tensor]:
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, RECOMPILE_LIMIT)
    return torch.compile(flex_attention, fullgraph=True)
