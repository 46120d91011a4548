"""Which tokenizer learns most from the same bytes of text?

Every run reads the same bytes of text, in steps of the same number of bytes, and sees equally far
back in bytes, so all runs take nearly the same number of steps. What differs is how the bytes are
cut, and with it the work of a step: compare bits per byte first, then what they cost in seconds,
memory and parameters.
"""

from dataclasses import replace

from bench.spec import Study, Trial, choose
from gpt.config import (
    SUBWORD,
    Budget,
    CorpusConfig,
    RunConfig,
    TokenizerConfig,
    TokenizerKind,
    TrainConfig,
)
from gpt.presets import MODERN

BASE = replace(
    MODERN,
    corpus=CorpusConfig(name="pydocs", test_fraction=0.05),
    model=replace(MODERN.model, context_bytes=128, n_embd=64),
    train=TrainConfig(budget=Budget(bytes=400_000), batch_size=12),
)


def cell(trial: Trial) -> RunConfig:
    kind: TokenizerKind = choose(trial, "tokenizer", ["byte", "char", "unigram", "bpe"])
    vocab_size = choose(trial, "vocab_size", [512, 1024, 2048, 4096]) if kind in SUBWORD else None
    return replace(BASE, tokenizer=TokenizerConfig(kind=kind, vocab_size=vocab_size))


study = Study(cell)
