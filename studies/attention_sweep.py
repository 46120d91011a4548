"""Does a faster attention kernel make training faster, and nothing else?

The same run with each of six kernels, at a length where attention is a good part of a step. All
compute the same function, so the losses must agree within the noise of rounding; speed is what may
differ.
Compare its ratios with those of `pytest --benchmark-only` and `python -m bench.micro explain`
(docs/microbenchmarks.md does). Run it with `--workers 1` on a machine that does nothing else.
"""

from dataclasses import replace

from bench.spec import Study, Trial, choose
from gpt.config import Budget, CorpusConfig, KernelName, RunConfig, TrainConfig
from gpt.presets import NANOGPT

KERNELS: list[KernelName] = ["per_head", "matmul", "sdpa", "sdpa_math", "sdpa_flash", "online"]

BASE = replace(
    NANOGPT,
    corpus=CorpusConfig(name="pydocs"),
    tokenizer=replace(NANOGPT.tokenizer, byte_fallback=True),
    model=replace(NANOGPT.model, block_size=256, n_layer=2),
    train=TrainConfig(budget=Budget(steps=60), batch_size=4, log_interval=5, evaluations=1),
)


def cell(trial: Trial) -> RunConfig:
    kernel = choose(trial, "kernel", KERNELS)
    return replace(BASE, model=replace(BASE.model, kernel=kernel))


study = Study(cell, metric="tokens_per_second")
