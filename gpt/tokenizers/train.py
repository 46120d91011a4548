"""Which text does a tokenizer see? The training part alone, and of a huge one an even share."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import sentencepiece as spm

from gpt.cache import entry, key_of
from gpt.config.tokenizer import TokenizerConfig
from gpt.corpora import Corpus, Span
from gpt.errors import ConfigError, DataError
from gpt.tokenizers.base import JSON_FILE, Tokenizer
from gpt.tokenizers.byte import ByteTokenizer
from gpt.tokenizers.char import CharTokenizer
from gpt.tokenizers.original import OriginalUnigramTokenizer
from gpt.tokenizers.sentencepiece import MODEL_FILE, SentencePieceTokenizer

TRAINED_BYTES_LIMIT = 100_000_000
"""SentencePiece learns from about this much text at most; a tokenizer says how much it saw."""

RECIPE = 2
"""Part of every key: raise it when the same config comes to mean another tokenizer."""


def train_tokenizer(config: TokenizerConfig, corpus: Corpus) -> Tokenizer:
    """Train on the training split (and on the held-out one too if `config.sees_validation`).

    Raises `InfeasibleError` for a vocabulary size that can't be had on this text, `DataError` for
    a text that can't be trained on.
    """
    seen = Span(0, corpus.n_bytes) if config.sees_validation else corpus.split("train")
    match config.kind:
        case "byte":
            return ByteTokenizer()
        case "char":
            return CharTokenizer.train(corpus.chunks(seen), byte_fallback=config.byte_fallback)
        case "unigram" | "bpe":
            cls = SentencePieceTokenizer
        case "original-unigram":
            cls = OriginalUnigramTokenizer
    if config.vocab_size is None:
        raise ConfigError(f"a {config.kind} tokenizer needs a vocab_size but got None")
    text = EvenShare(corpus, seen, TRAINED_BYTES_LIMIT)
    return cls.train(config.kind, text, vocab_size=config.vocab_size)


def load_or_train_tokenizer(config: TokenizerConfig, corpus: Corpus, cache: Path) -> Tokenizer:
    """The tokenizer from the cache: trained on the first call, and again if it is damaged."""
    seen = None if config.sees_validation else corpus.split("train")
    key = key_of(RECIPE, corpus.digest, seen, asdict(config.canonical()), spm.__version__)
    return load_tokenizer(
        entry(
            cache / "tokenizers" / key, lambda folder: train_tokenizer(config, corpus).save(folder)
        )
    )


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that was saved into `folder`, whatever its kind.

    Raises `DataError` if there is none, or a part of it is missing.
    """
    try:
        fields = json.loads((folder / JSON_FILE).read_bytes())
        match fields.pop("kind"):
            case "byte":
                return ByteTokenizer(**fields)
            case "char":
                return CharTokenizer(**fields)
            case "original-unigram" as kind:
                return OriginalUnigramTokenizer(kind, _model(folder), **fields)
            case "unigram" | "bpe" as kind:
                return SentencePieceTokenizer(kind, _model(folder), **fields)
            case kind:
                raise ValueError(f"its kind is {kind!r}")
    except (
        OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError,
    ) as error:  # fmt: skip
        raise DataError(
            f"{folder} must hold a saved tokenizer but it can't be read ({error}): delete it"
        ) from error


@dataclass(frozen=True)
class EvenShare:
    """The chunks of a span, or every so many of them, so that they come to `limit_bytes`."""

    corpus: Corpus
    span: Span
    limit_bytes: int

    def __iter__(self) -> Iterator[str]:
        share = min(1.0, self.limit_bytes / self.span.n_bytes)
        for index, chunk in enumerate(self.corpus.chunks(self.span)):
            if int((index + 1) * share) > int(index * share):
                yield chunk


def _model(folder: Path) -> bytes:
    return (folder / MODEL_FILE).read_bytes()
