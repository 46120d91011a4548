"""Does everything work on this machine? Four tiny runs, in seconds."""

from dataclasses import replace

from bench.spec import Study, Trial, choose
from gpt.config import (
    Budget,
    ModelConfig,
    RunConfig,
    TokenizerConfig,
    TokenizerKind,
    TrainConfig,
)

BASE = RunConfig(
    model=ModelConfig(n_layer=2, n_head=2, n_embd=32, block_size=32),
    train=TrainConfig(budget=Budget(bytes=60_000), evaluations=2, sample_tokens=80),
)


def cell(trial: Trial) -> RunConfig:
    kind: TokenizerKind = choose(trial, "tokenizer", ["char", "bpe"])
    vocab_size = 512 if kind == "bpe" else None
    return replace(BASE, tokenizer=TokenizerConfig(kind=kind, vocab_size=vocab_size))


study = Study(cell, seeds=2)
