"""What will a run cost? Seconds and memory, from its config and a few steps that were timed.

A step's time depends on its shape (model, block, batch, vocabulary, precision and device), not on
what is learned. So each shape is timed once (`bench.run.step_timing`), and the cost of a run
follows by counting its steps, the tokens that it evaluates, and the work that every run does once.
The time of a shape that was not timed is interpolated between two that were. Nothing here imports
torch, so that a plan answers at once.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gpt.config import CorpusConfig, RunConfig, TokenizerConfig
from gpt.config.tokenizer import SUBWORD

ROUGH_FLOPS_PER_SECOND = 5e10
ROUGH_LAYER_SECONDS = 1e-3
"""For a typical core: they only compare two shapes, and interpolate between them."""

MOST_FLOPS = 5e9
"""About the most operations of a step that is timed; a larger step is timed on fewer sequences."""

AROUND_A_RUN_SECONDS = 0.1
"""For every run: giving it out, writing its files, and storing its outcome."""

CORPUS_BYTES = {"pydocs": 1_993_000, "tinyshakespeare": 1_115_394, "don_quixote": 1_714_083}
"""Approximate lengths of the known corpora, used until they are prepared."""

VOCABULARIES = (256, 512, 1024, 2048, 4096, 8192)
BYTES_PER_TOKEN = (1.0, 1.85, 2.5, 3.0, 3.45, 3.8)
"""Typical bytes per subword token of English prose, by size of the vocabulary."""


@dataclass(frozen=True, kw_only=True)
class TextSize:
    """The size of a text under a tokenizer."""

    vocab_size: int
    bytes_per_token: float
    val_tokens: int
    test_tokens: int = 0
    known: bool = True
    """Whether it was counted; False: it is an estimate for such a text."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The timings of a shape, taken with as many runs at the same time as a study has."""

    step_seconds: float
    """The median time of a step, including gathering its batch."""

    spread: float
    """Half the distance between the quartiles of a step, as a share of the median."""

    first_seconds: float
    """The first step, including compiling or capturing it."""

    fixed_seconds: float
    """Building the model, the canary, and the sample at the end."""

    eval_token_seconds: float
    """Evaluation, per token."""

    peak_memory_bytes: int
    dtype: str
    """The settled precision; unless it is float32, a run is evaluated once more in float32."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The expected cost of a run."""

    seconds: float
    memory_bytes: int
    spread: float
    """Spread of its step times, as a share of the median."""

    exact: bool
    """Whether nothing about its text or shape was estimated."""


def guess_size(corpus: CorpusConfig, tokenizer: TokenizerConfig) -> TextSize:
    """Estimate the size of a text that was not prepared yet, from its bytes and tokenizer."""
    vocab_size, bytes_per_token = tokenizer.vocab_size or 256, 1.0
    if tokenizer.kind in SUBWORD:
        bytes_per_token = float(
            np.interp(math.log2(vocab_size), np.log2(VOCABULARIES), BYTES_PER_TOKEN)
        )
    elif tokenizer.kind == "char":
        vocab_size = 100 + 256 * tokenizer.byte_fallback
    n_bytes = CORPUS_BYTES.get(corpus.name) or _bytes_at(Path(corpus.name))
    n_tokens = n_bytes / bytes_per_token
    return TextSize(
        vocab_size=vocab_size,
        bytes_per_token=bytes_per_token,
        val_tokens=round(corpus.val_fraction * n_tokens),
        test_tokens=round(corpus.test_fraction * n_tokens),
        known=False,
    )


def text_key(config: RunConfig) -> str:
    """Identifies the corpus and tokenizer of a run."""
    return repr((config.corpus, config.tokenizer.canonical()))


def _bytes_at(path: Path) -> int:
    try:
        files = path.rglob("*.txt") if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files)
    except OSError:
        return 0


def block_size(config: RunConfig, size: TextSize) -> int:
    """The context in tokens, as `gpt.training.setup.resolve_block_size` computes it."""
    n_bytes = config.model.context_bytes
    return (
        config.model.block_size
        if n_bytes is None
        else max(1, round(n_bytes / size.bytes_per_token))
    )


def flops_per_step(config: RunConfig, size: TextSize) -> int:
    """Operations of a step, as `gpt.training.flops` counts them, but without building a model."""
    model, B, T = config.model, config.train.batch_size, block_size(config, size)
    if model.kind == "bigram":
        return 0
    C, L = model.n_embd, model.n_layer
    per_token = 6 * (12 * L * C * C + C * size.vocab_size) + 12 * L * C * T
    return B * T * per_token + L * _flops_of_muon(config)


def _flops_of_muon(config: RunConfig) -> int:
    """For one block: q, k and v (fused or per head), their projection, and the MLP's matrices."""
    if config.optimizer.kind != "muon":
        return 0
    C, H, D = config.model.n_embd, config.model.n_head, config.model.head_size
    qkv = [(C, 3 * C)] if config.model.attention == "fused" else 3 * H * [(D, C)]
    sides = [*qkv, (C, C), (C, 4 * C), (C, 4 * C)]
    return sum(config.optimizer.muon_iterations * 2 * (2 * a * a * b + a**3) for a, b in sides)


def rough_step_seconds(config: RunConfig, size: TextSize) -> float:
    """A step's time on a typical core, for comparing shapes and interpolating between them."""
    B, T = config.train.batch_size, block_size(config, size)
    work = flops_per_step(config, size) + 12 * B * T * size.vocab_size
    return work / ROUGH_FLOPS_PER_SECOND + ROUGH_LAYER_SECONDS * (1 + config.model.n_layer)


def rough_timing_seconds(config: RunConfig, size: TextSize) -> float:
    """Time needed to time this shape on a typical core: a dozen steps of few sequences."""
    one = config.replace(train=replace(config.train, batch_size=1, micro_batch_size=None))
    least = min(flops_per_step(config, size), 2 * MOST_FLOPS)
    return 12 * max(2 * flops_per_step(one, size), least) / ROUGH_FLOPS_PER_SECOND


def n_steps(config: RunConfig, size: TextSize) -> float:
    """The number of steps in the budget; NaN for a budget in seconds."""
    budget = config.train.budget
    tokens = config.train.batch_size * block_size(config, size)
    per_step = {
        "steps": 1,
        "tokens": tokens,
        "bytes": tokens * size.bytes_per_token,
        "flops": flops_per_step(config, size),
        "seconds": math.nan,
    }[budget.unit]
    if per_step == 0:
        return math.nan
    steps = budget.amount / per_step
    return steps if math.isnan(steps) else max(1.0, steps)


def run_seconds(config: RunConfig, size: TextSize, measured: Measured) -> float:
    """Seconds of a run, from when it is given out to when its outcome is stored.

    A run with a target loss may end sooner.
    """
    training = n_steps(config, size) * measured.step_seconds
    if math.isnan(training):
        training = config.train.budget.amount
    evaluated = _evaluated_tokens(config, size, twice=measured.dtype != "float32")
    return (
        AROUND_A_RUN_SECONDS
        + measured.fixed_seconds
        + measured.first_seconds
        + training
        + evaluated * measured.eval_token_seconds
    )


def _evaluated_tokens(config: RunConfig, size: TextSize, *, twice: bool) -> float:
    """Tokens that a run computes in its evaluations, on the way and at the end.

    Args:
        twice: whether it is evaluated in float32 too.
    """
    train, T = config.train.canonical(), block_size(config, size)
    whole = size.val_tokens + train.measure_test * size.test_tokens
    a_look: float = size.val_tokens
    n_looks = train.evaluations - 1  # the last one reads the whole text
    if train.val_part_bytes is not None:
        a_look, n_looks = train.val_part_bytes / size.bytes_per_token, train.evaluations
    tokens = whole * (1 + twice) + n_looks * min(a_look, size.val_tokens)
    windows = tokens * T / (train.eval_stride or T)
    return windows + train.evaluations * 2 * train.estimate_batches * train.batch_size * T


def shape_key(config: RunConfig, size: TextSize) -> str:
    """Identifies everything that a step's time depends on; its first line is the `family`."""
    model, train = config.model, config.train
    rest = (block_size(config, size), size.vocab_size, train.batch_size, train.micro_batch_size)
    return f"{family(config)}\n{rest} {replace(model, block_size=1, context_bytes=None)!r}"


def family(config: RunConfig) -> str:
    """Shapes of one family use the same code paths, so one's time can be estimated from others."""
    model, train, optimizer = config.model, config.train, config.optimizer
    return repr(
        (train.device, train.dtype, train.compile, train.cuda_graph, model.kind, model.attention,
         model.kernel, model.loss_head, optimizer.kind, optimizer.muon_iterations,
         optimizer.fused, optimizer.grad_clip > 0)
    )  # fmt: skip
