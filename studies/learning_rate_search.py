"""Which learning rate and warm-up suit the modern recipe?

A search: TPE proposes, Hyperband stops what lags behind at an evaluation. Each point gets one
seed, so the best three are raced again in the end, on fresh seeds.
"""

from dataclasses import replace
from functools import partial

from bench.spec import HyperbandPruner, Search, Study, Trial
from gpt.config import Budget, CorpusConfig, RunConfig, TokenizerConfig, TrainConfig
from gpt.presets import MODERN

EVALUATIONS = 9

BASE = replace(
    MODERN,
    corpus=CorpusConfig(name="pydocs"),
    tokenizer=TokenizerConfig(kind="bpe", vocab_size=1024),
    model=replace(MODERN.model, n_embd=64),
    train=TrainConfig(budget=Budget(tokens=250_000), evaluations=EVALUATIONS),
)


def cell(trial: Trial) -> RunConfig:
    learning_rate = trial.suggest_float("learning_rate", 3e-4, 3e-2, log=True)
    warmup_fraction = trial.suggest_float("warmup_fraction", 0.0, 0.2)
    optimizer = replace(
        BASE.optimizer, learning_rate=learning_rate, warmup_fraction=warmup_fraction
    )
    return replace(BASE, optimizer=optimizer)


study = Study(
    cell,
    search=Search(
        n_trials=16,
        pruner=partial(HyperbandPruner, min_resource=1, max_resource=EVALUATIONS),
    ),
)
