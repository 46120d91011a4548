"""The language models: a decoder-only transformer, and the bigram table it is compared with.

Unusual here: nearly every habit of GPTs is a switch of `ModelConfig`, so that the two originals,
nanoGPT and newer recipes are one class; and a forward pass gives either logits or the loss, never
both, because the chunked loss never holds all logits.

Letters: B batch, T time, C channels (n_embd), H heads, D head size, V vocabulary.
"""

import torch
from torch import Tensor, nn

from gpt.attention.cache import KVCache
from gpt.config import ModelConfig
from gpt.errors import ConfigError
from gpt.model.block import Block, Blocks
from gpt.model.layers import make_dropout, make_norm
from gpt.model.loss import Reduction, chunked_cross_entropy, cross_entropy


def build_model(config: ModelConfig, vocab_size: int) -> "LanguageModel":
    """A freshly initialised model; seed torch's generator before.

    `config.block_size` is taken as it stands: resolve `context_bytes` before.
    """
    return Bigram(config, vocab_size) if config.kind == "bigram" else GPT(config, vocab_size)


class LanguageModel(nn.Module):
    """Next-token logits from a context of at most `block_size` tokens."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.block_size = config.block_size
        self.vocab_size = vocab_size

    def logits(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        """(B, T) tokens -> (B, T, V)."""
        raise NotImplementedError

    def loss(self, idx: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
        """(B, T) tokens and targets -> the cross-entropy, a scalar."""
        logits = self.logits(idx)  # (B, T, V)
        return cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction)

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        *,
        reduction: Reduction = "mean",
        cache: KVCache | None = None,
    ) -> Tensor:
        """Logits, or with targets the cross-entropy in nats, a scalar computed in float32.

        Args:
            idx: (B, T) int64 tokens.
            targets: (B, T) int64; position t's is the token after `idx[:, t]`. Where it is
                `gpt.model.loss.IGNORE_INDEX`, nothing is predicted.
            reduction: mean over the predicted tokens, or their sum.
            cache: from `new_cache`; `idx` then holds only the tokens that it has not seen.

        Raises:
            ConfigError: if the context is longer than `block_size`.
        """
        T = idx.shape[1] + (0 if cache is None else cache.length)
        if self.block_size < T:
            raise ConfigError(f"a context must be at most {self.block_size} tokens but got {T}")
        if targets is None:
            return self.logits(idx, cache)  # (B, T, V)
        return self.loss(idx, targets, reduction)

    def new_cache(self) -> KVCache:
        """An empty memory for generation, to be passed to every forward pass of one text."""
        return KVCache(self.config.n_layer, self.block_size)

    @property
    def n_params(self) -> int:
        """Number of trainable weights; a tied matrix counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def flops_per_token(self, context: int) -> int:
        """Floating-point operations of the matrix products, forward and backward, for a token.

        6 for each weight of a linear map, and 12 · n_layer · C · context for q kᵀ and its product
        with v, the masked half included (Chowdhery et al. 2022, PaLM, appendix B,
        https://arxiv.org/abs/2204.02311). 0 for a bigram model, which multiplies nothing.
        """
        matrices = (m.weight for m in self.modules() if isinstance(m, nn.Linear))
        n_blocks = sum(isinstance(m, Block) for m in self.modules())
        attention = 12 * n_blocks * self.config.n_embd * context
        return 6 * sum(matrix.numel() for matrix in matrices) + attention


class Bigram(LanguageModel):
    """The logits of the next token are a row of a (V, V) table, chosen by the last token alone.

    With `init="torch"` the table is the notebook's, normal(1), and the first loss is near
    ln V + 1/2, for E[ln Σ exp(z)] ≈ ln V + var(z)/2 (the notebook expected 8.29 and got 8.81);
    otherwise normal(0.02), and it is near ln V.
    """

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__(config, vocab_size)
        self.table = nn.Embedding(vocab_size, vocab_size)
        initialise(self, config)

    def logits(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:  # noqa: ARG002
        rows: Tensor = self.table(idx)  # (B, T, V)
        return rows


class GPT(LanguageModel):
    """A decoder-only transformer with the norms before attention and MLP (pre-norm)."""

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__(config, vocab_size)
        C = config.n_embd
        self.token_embedding = nn.Embedding(vocab_size, C)
        if config.position == "learned":
            self.position_embedding = nn.Embedding(config.block_size, C)
        self.embedding_dropout = make_dropout(config.dropout if config.embedding_dropout else 0.0)
        self.blocks = Blocks(config)
        if config.final_norm != "none":
            self.final_norm = make_norm(config)
        self.head = nn.Linear(C, vocab_size, bias=config.bias)
        if config.tied_head:
            self.head.weight = self.token_embedding.weight
        initialise(self, config)

    def trunk(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        """(B, T) tokens -> (B, T, C), what the head reads."""
        start = 0 if cache is None else cache.start
        x = self.token_embedding(idx)  # (B, T, C)
        if self.config.position == "learned":
            if isinstance(start, Tensor):
                positions = start  # (1,)
            else:
                positions = torch.arange(start, start + idx.shape[1], device=idx.device)  # (T,)
            x = x + self.position_embedding(positions)  # (B, T, C) + (T, C)
        x = self.embedding_dropout(x)
        x = self.blocks(x, cache)
        if self.config.final_norm == "applied":
            x = self.final_norm(x)
        out: Tensor = x
        return out

    def logits(self, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        logits: Tensor = self.head(self.trunk(idx, cache))  # (B, T, C) -> (B, T, V)
        return logits

    def loss(self, idx: Tensor, targets: Tensor, reduction: Reduction) -> Tensor:
        if self.config.loss_head == "plain":
            return super().loss(idx, targets, reduction)
        x = self.trunk(idx).flatten(0, 1)  # (B, T, C) -> (B·T, C)
        head = self.head
        return chunked_cross_entropy(x, head.weight, head.bias, targets.flatten(), reduction)


def initialise(model: nn.Module, config: ModelConfig) -> None:
    """Fill a new model's weights as `config.init` says.

    `gpt2` is GPT-2's (Radford et al. 2019, section 2.3): the projections that end a residual
    branch start smaller by (2 · n_layer) ** -0.5, so that their sum doesn't grow with depth.
    """
    if config.init == "torch":
        return
    std = 0.02
    shrink = 0.0 if config.init == "zero_projections" else (2 * config.n_layer) ** -0.5
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            ends_branch = name.endswith(".projection")
            nn.init.normal_(module.weight, std=shrink * std if ends_branch else std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
