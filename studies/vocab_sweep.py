"""How large a vocabulary pays, for the same arithmetic?

A larger vocabulary makes fewer tokens of a text but a larger head. Each run gets the same number
of floating-point operations, and each context holds as many bytes: where the curve of bits per
byte over vocab_size bends up, the head costs more than the shorter text saves.
"""

from dataclasses import replace

from bench.spec import Study, Trial, choose
from gpt.config import Budget, CorpusConfig, RunConfig, TokenizerConfig, TrainConfig
from gpt.presets import MODERN

BASE = replace(
    MODERN,
    corpus=CorpusConfig(name="pydocs", test_fraction=0.05),
    model=replace(MODERN.model, context_bytes=128, n_embd=64),
    train=TrainConfig(budget=Budget(flops=4e11), batch_size=12),
)


def cell(trial: Trial) -> RunConfig:
    vocab_size = choose(trial, "vocab_size", [384, 512, 1024, 2048, 4096, 8192])
    return replace(BASE, tokenizer=TokenizerConfig(kind="bpe", vocab_size=vocab_size))


study = Study(cell)
