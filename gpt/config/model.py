"""The shape of a language model. Letters in comments: B batch, T time, C = n_embd, H = n_head,
D = C / H head size, V vocabulary."""

from dataclasses import dataclass
from typing import Literal

from gpt.config import check
from gpt.errors import ConfigError

ModelKind = Literal["gpt", "bigram"]
AttentionLayout = Literal["fused", "per_head"]
KernelName = Literal[
    "per_head",
    "matmul",
    "added_mask",
    "sdpa",
    "sdpa_math",
    "sdpa_flash",
    "sdpa_efficient",
    "sdpa_cudnn",
    "flex",
    "online",
    "native",
    "incremental",
    "auto",
]
AttentionScale = Literal["head_size", "n_embd", "none"]
Norm = Literal["layernorm", "rmsnorm"]
FinalNorm = Literal["applied", "unused", "none"]
Activation = Literal["relu", "gelu", "relu2"]
Position = Literal["learned", "rotary"]
LossHead = Literal["plain", "chunked"]
Init = Literal["torch", "gpt2", "zero_projections"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder-only transformer, or the bigram table that it is compared with.

    The vocabulary size is not here: it is what the tokenizer turns out to have.
    """

    kind: ModelKind = "gpt"
    """`gpt`, or `bigram`: a (V, V) table of next-token logits, for which only `block_size`,
    `context_bytes` and `init` count."""

    block_size: int = 64
    """Longest context T, in tokens."""

    context_bytes: int | None = None
    """If given, replaces `block_size` by the number of tokens that hold this many bytes of text on
    average, so that runs with unlike tokenizers have equal contexts."""

    n_layer: int = 4
    """Number of transformer blocks."""

    n_head: int = 4
    """Attention heads H in a block."""

    n_embd: int = 128
    """Channels C."""

    dropout: float = 0.0
    """Dropout probability after attention weights, projections and embeddings."""

    bias: bool = False
    """Bias in layer norms, projections, MLP and head."""

    qkv_bias: bool = False
    """Bias in the projections to q, k and v; the originals have none there, whatever `bias`."""

    attention: AttentionLayout = "fused"
    """`fused`: one matrix for q, k and v of all heads; `per_head`: a module a head, as in the
    originals. Same function, same weights up to a rearrangement."""

    kernel: KernelName = "sdpa"
    """Which attention kernel the fused layout calls, by its name in `gpt.attention.KERNELS`;
    `auto` is the fastest right one, measured on the machine and at the shape of the run."""

    attention_scale: AttentionScale = "head_size"
    """Scores are multiplied by this size ** -0.5, or left as they are."""

    norm: Norm = "layernorm"
    """Normalisation before attention, before the MLP and at the end."""

    final_norm: FinalNorm = "applied"
    """The norm before the head: applied; or made, counted and left unused (a quirk of the
    Shakespeare original); or absent."""

    qk_norm: bool = False
    """Divide q and k of each head by their root mean square before their product; no weights."""

    activation: Activation = "gelu"
    """The MLP's non-linearity; `gelu` is the exact one (erf), `relu2` is relu(x)²."""

    position: Position = "learned"
    """A learned embedding per position, or rotation of q and k."""

    embedding_dropout: bool = True
    """Whether dropout also follows the embeddings (nanoGPT does so, the originals don't)."""

    tied_head: bool = False
    """Share the token embedding with the head. With `init="torch"`, whose embeddings have unit
    variance, the logits then start with variance C and the first loss is far above ln V."""

    loss_head: LossHead = "plain"
    """`plain`: all logits, then their cross-entropy; `chunked`: a few rows at a time. Same
    function; the chunked one is faster where the vocabulary is large."""

    init: Init = "gpt2"
    """`torch`: each module's own default; `gpt2`: normal(0.02), residual projections scaled by
    (2 n_layer) ** -0.5; `zero_projections`: as `gpt2` with the residual projections zero."""

    def __post_init__(self) -> None:
        check.field_types(self)
        check.at_least(1, self, "block_size", "context_bytes", "n_layer", "n_head", "n_embd")
        check.within(0.0, 1.0, self, "dropout")
        if self.n_embd % self.n_head:
            raise ConfigError(
                f"n_embd must be divisible by n_head but got {self.n_embd} and {self.n_head}"
            )
        if self.position == "rotary" and self.head_size % 2:
            raise ConfigError(f"rotary positions need an even head size but got {self.head_size}")

    def canonical(self) -> "ModelConfig":
        """The same model for keys, without the fields that it ignores: two configs that differ
        only in those are one cell. Beside `context_bytes` the settled `block_size` is ignored."""
        block_size = 64 if self.context_bytes is not None else self.block_size
        if self.kind == "bigram":
            return ModelConfig(
                kind="bigram",
                block_size=block_size,
                context_bytes=self.context_bytes,
                init="torch" if self.init == "torch" else "gpt2",
            )
        return check.changed(
            self,
            block_size=block_size,
            kernel="per_head" if self.attention == "per_head" else self.kernel,
            embedding_dropout=self.embedding_dropout or self.dropout == 0,
        )

    @property
    def head_size(self) -> int:
        """D, channels of one head."""
        return self.n_embd // self.n_head
