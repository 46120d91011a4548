"""Does a sweep end sooner here than in a plain loop? The 24 runs that both are given.

Two vocabularies, two numbers of heads, two of layers, three seeds.
"""

from dataclasses import replace

from bench.spec import Study, Trial, choose
from gpt.config import Budget, CorpusConfig, RunConfig, TokenizerConfig, TrainConfig
from gpt.presets import NANOGPT

BASE = NANOGPT.replace(
    corpus=CorpusConfig(name="pydocs"),
    model=replace(NANOGPT.model, n_embd=64),
    train=TrainConfig(
        budget=Budget(steps=150), batch_size=8, evaluations=1, device="cpu", sample_tokens=50
    ),
)


def cell(trial: Trial) -> RunConfig:
    vocab_size = choose(trial, "vocab_size", [400, 800])
    n_head = choose(trial, "n_head", [2, 4])
    n_layer = choose(trial, "n_layer", [1, 2])
    return BASE.replace(
        tokenizer=TokenizerConfig(kind="bpe", vocab_size=vocab_size),
        model=replace(BASE.model, n_head=n_head, n_layer=n_layer),
    )


study = Study(cell, seeds=3)
