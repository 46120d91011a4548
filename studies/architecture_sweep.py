"""Wider heads, more heads or more layers?

Each run trains on the same number of tokens; deeper models do more arithmetic for them, so read
bits per byte beside the seconds that they took.
"""

from dataclasses import replace

from bench.spec import Study, Trial, choose
from gpt.config import Budget, CorpusConfig, RunConfig, TokenizerConfig, TrainConfig
from gpt.presets import MODERN

BASE = replace(
    MODERN,
    corpus=CorpusConfig(name="pydocs", test_fraction=0.05),
    tokenizer=TokenizerConfig(kind="bpe", vocab_size=1024),
    model=replace(MODERN.model, n_embd=64),
    train=TrainConfig(budget=Budget(tokens=250_000)),
)


def cell(trial: Trial) -> RunConfig:
    n_head = choose(trial, "n_head", [1, 2, 4, 8])
    n_layer = choose(trial, "n_layer", [1, 2, 4, 8])
    return replace(BASE, model=replace(BASE.model, n_head=n_head, n_layer=n_layer))


study = Study(cell)
