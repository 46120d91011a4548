"""How far back must a model see?

Each run trains on the same number of tokens with the same number of tokens in a step, so a longer
block means fewer sequences in it. Every token is predicted once; those early in a block have less
context, which the longer blocks have fewer of.
"""

from dataclasses import replace

from bench.spec import Study, Trial, choose
from gpt.config import Budget, CorpusConfig, RunConfig, TokenizerConfig, TrainConfig
from gpt.presets import MODERN

TOKENS_PER_STEP = 1024

BASE = replace(
    MODERN,
    corpus=CorpusConfig(name="pydocs", test_fraction=0.05),
    tokenizer=TokenizerConfig(kind="bpe", vocab_size=1024),
    model=replace(MODERN.model, n_embd=64),
    train=TrainConfig(budget=Budget(tokens=400_000)),
)


def cell(trial: Trial) -> RunConfig:
    block_size = choose(trial, "block_size", [8, 16, 32, 64, 128, 256])
    return replace(
        BASE,
        model=replace(BASE.model, block_size=block_size),
        train=replace(BASE.train, batch_size=TOKENS_PER_STEP // block_size),
    )


study = Study(cell)
