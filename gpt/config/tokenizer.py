"""How text becomes tokens."""

from dataclasses import dataclass
from typing import Literal

from gpt.config import check
from gpt.errors import ConfigError

TokenizerKind = Literal["char", "byte", "unigram", "bpe", "original-unigram"]
SUBWORD: tuple[TokenizerKind, ...] = ("unigram", "bpe", "original-unigram")
"""The kinds that are trained to a vocabulary size of the user's choice."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """A tokenizer, trained on the training part of the corpus."""

    kind: TokenizerKind = "char"
    """`char` and `byte` have the text's own vocabulary; `unigram` and `bpe` are SentencePiece,
    made lossless; `original-unigram` is the Don Quixote notebook's: lossy, trained on the
    validation text too, and flagged wherever it is shown."""

    vocab_size: int | None = None
    """Number of tokens; for subword kinds only, where it is required."""

    byte_fallback: bool = True
    """For `char`: spell a character that the training part lacks as its UTF-8 bytes (256 more
    tokens). Without it such a character in the validation part is refused."""

    def __post_init__(self) -> None:
        check.field_types(self)
        if self.kind in SUBWORD and self.vocab_size is None:
            raise ConfigError(f"a {self.kind} tokenizer needs a vocab_size but got None")
        check.at_least(1, self, "vocab_size")

    def canonical(self) -> "TokenizerConfig":
        """The same tokenizer without the fields that its kind ignores, for keys."""
        return check.changed(
            self,
            vocab_size=self.vocab_size if self.kind in SUBWORD else None,
            byte_fallback=self.byte_fallback if self.kind == "char" else True,
        )

    @property
    def lossless(self) -> bool:
        """Whether this kind promises `decode(encode(text)) == text`."""
        return self.kind != "original-unigram"

    @property
    def sees_validation(self) -> bool:
        """Whether this kind is trained on the validation text too, as its original was."""
        return self.kind == "original-unigram"
