"""Transformer blocks: attention and an MLP, each after a norm and beside what it reads."""

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn
from torch.compiler import is_compiling

from gpt.attention.cache import KVCache, LayerCache
from gpt.config import ModelConfig
from gpt.heads import FusedAttention, make_attention
from gpt.layers import MLP, LayerNorm, RMSNorm, make_norm
from gpt.native.block import BlockSettings, native_blocks
from gpt.native.library import has_tiles, takes
from gpt.native.linear import SIDE, is_small


class Block(nn.Module):
    """(B, T, C) -> (B, T, C): tokens talk to each other, then each thinks alone."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = make_attention(config)
        self.mlp_norm = make_norm(config)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cache)
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class Blocks(nn.ModuleList):
    """(B, T, C) -> (B, T, C): `n_layer` blocks, one after another.

    In training they are a single kernel where there is one (gpt/native/block.cpp): the same but
    for the last bit, and in int8 to that.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(Block(config) for _ in range(config.n_layer))
        self.n_head = config.n_head
        self.qk_norm = config.qk_norm
        self.has_kernel = (
            config.attention == "fused"
            and config.kernel == "native"
            and not (config.bias or config.qkv_bias or config.dropout)
            and config.n_embd % SIDE == 0
            and config.head_size % 2 == 0
        )

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        if cache is None and self._are_one_kernel(x):
            return self._by_one_kernel(x)
        for i, block in enumerate(self):
            x = block(x, None if cache is None else cache.layers[i])
        return x

    def _are_one_kernel(self, x: Tensor) -> bool:
        """Whether they can be, and are faster: large products in bfloat16 are left to oneDNN, and
        without tiles the compiler's."""
        if not (self.has_kernel and self.training and takes(x)):
            return False
        mlp = cast(Block, self[0]).mlp
        if mlp.expand.in_int8:
            return True
        small = is_small(mlp.expand.weight, mlp.projection.weight)
        return small and (has_tiles() or not is_compiling())

    def _by_one_kernel(self, x: Tensor) -> Tensor:
        first = cast(Block, self[0])
        attention, norm = cast(FusedAttention, first.attention), _norm(first.attention_norm)
        settings = BlockSettings(
            n_head=self.n_head,
            scale=attention.scale,
            epsilon=norm.epsilon,
            centered=norm.centered,
            qk_norm=self.qk_norm,
            activation=first.mlp.activation,
            int8=first.mlp.expand.in_int8,
        )
        weights = tuple(weight for block in self for weight in _weights(cast(Block, block)))
        return native_blocks(x, weights, attention.transform.angles(x.shape[1]), settings)


def _norm(norm: nn.Module) -> LayerNorm | RMSNorm:
    return cast(LayerNorm | RMSNorm, norm)


def _weights(block: Block) -> Iterator[Tensor]:
    """In the order that the kernel expects."""
    attention = cast(FusedAttention, block.attention)
    yield _norm(block.attention_norm).weight
    yield attention.qkv.weight
    yield attention.projection.weight
    yield _norm(block.mlp_norm).weight
    yield block.mlp.expand.weight
    yield block.mlp.projection.weight
