"""Transformer blocks: attention and an MLP, each after a norm and with a residual connection."""

from torch import Tensor, nn

from gpt.attention.cache import KVCache, LayerCache
from gpt.config import ModelConfig
from gpt.model.heads import make_attention
from gpt.model.layers import MLP, make_norm


class Block(nn.Module):
    """(B, T, C) -> (B, T, C): attention between tokens, then an MLP on each token."""

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
    """(B, T, C) -> (B, T, C): `n_layer` blocks, one after another."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(Block(config) for _ in range(config.n_layer))

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        for i, block in enumerate(self):
            x = block(x, None if cache is None else cache.layers[i])
        return x
