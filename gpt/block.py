"""A transformer block: attention and an MLP, each after a norm and beside what it reads."""

from typing import cast

from torch import Tensor, nn
from torch.compiler import is_compiling

from gpt.attention.cache import LayerCache
from gpt.config import ModelConfig
from gpt.heads import FusedAttention, make_attention
from gpt.layers import MLP, LayerNorm, RMSNorm, make_norm
from gpt.native.block import BlockSettings, native_block
from gpt.native.library import has_tiles, takes
from gpt.native.linear import SIDE, is_small


class Block(nn.Module):
    """(B, T, C) -> (B, T, C): tokens talk to each other, then each thinks alone.

    In training it is a single kernel where there is one (gpt/native/block.cpp): the same but for
    the last bit, and in int8 to that.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = make_attention(config)
        self.mlp_norm = make_norm(config)
        self.mlp = MLP(config)
        self.n_head = config.n_head
        self.qk_norm = config.qk_norm
        self.has_kernel = (
            config.attention == "fused"
            and config.kernel == "native"
            and not (config.bias or config.qkv_bias or config.dropout)
            and config.n_embd % SIDE == 0
            and config.head_size % 2 == 0
        )

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        if cache is None and self._is_one_kernel(x):
            return self._by_one_kernel(x)
        x = x + self.attention(self.attention_norm(x), cache)
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out

    def _is_one_kernel(self, x: Tensor) -> bool:
        """Whether it can be, and is faster: large products in bfloat16 are left to oneDNN, and
        without tiles the compiler's."""
        if not (self.has_kernel and self.training and takes(x)):
            return False
        expand, projection = self.mlp.expand, self.mlp.projection
        if expand.in_int8:
            return True
        return is_small(expand.weight, projection.weight) and (has_tiles() or not is_compiling())

    def _by_one_kernel(self, x: Tensor) -> Tensor:
        attention, mlp = cast(FusedAttention, self.attention), self.mlp
        norm = cast(LayerNorm | RMSNorm, self.attention_norm)
        settings = BlockSettings(
            n_head=self.n_head,
            scale=attention.scale,
            epsilon=norm.epsilon,
            centered=norm.centered,
            qk_norm=self.qk_norm,
            activation=mlp.activation,
            int8=mlp.expand.in_int8,
        )
        weights = (
            norm.weight,
            attention.qkv.weight,
            attention.projection.weight,
            cast(LayerNorm | RMSNorm, self.mlp_norm).weight,
            mlp.expand.weight,
            mlp.projection.weight,
        )
        return native_block(x, weights, attention.transform.angles(x.shape[1]), settings)
