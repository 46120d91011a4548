"""How well does a model predict held-out text, in a unit that survives a change of tokenizer?

A loss per token can't be compared across vocabularies: a larger one has fewer, harder tokens. The
sum of all the losses can, for it is the code length of the same text: divided by ln 2 and by the
text's bytes, it is bits per byte. The bytes are those of the raw text, never a sum over decoded
tokens.

Every token of the split is predicted exactly once, in order, so nothing is sampled. The first
token of the split follows the last of the training part. With `stride` < T each token but those of
the first window has at least T − stride tokens of context.

On the way through a run a part of the validation text is predicted in the same manner, to draw a
curve by: the same bytes for all tokenizers, but too few to rank by.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gpt.errors import ConfigError
from gpt.model.gpt import LanguageModel
from gpt.model.loss import IGNORE_INDEX
from gpt.tokenizers import TokenArray
from gpt.training.batches import sample_batch
from gpt.training.setup import Setup, Text

Autocast = Callable[[], AbstractContextManager[object]]

Split = Literal["val", "test"]
"""A held-out part of a corpus."""

MAX_LOGITS = 1 << 22
"""Logits held at once, B · T · V: 16 MiB in float32, about a last-level cache."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The cost of a text under a model."""

    nats: float
    """Summed loss over all tokens."""

    n_tokens: int
    """Tokens predicted."""

    n_bytes: int
    """UTF-8 bytes of the raw text."""

    @property
    def loss(self) -> float:
        """Mean loss in nats per token; comparable between runs of one tokenizer only."""
        return self.nats / self.n_tokens

    @property
    def bits_per_byte(self) -> float:
        """Code length in bits over bytes of raw text; comparable between all lossless runs."""
        return self.nats / (math.log(2) * self.n_bytes)


@torch.no_grad()
def evaluate(
    model: LanguageModel,
    tokens: np.ndarray,
    *,
    previous_token: int,
    n_bytes: int,
    device: torch.device,
    stride: int | None = None,
    autocast: Autocast = nullcontext,
) -> Evaluation:
    """Predict every token of `tokens` once.

    Args:
        tokens: (N,) the split.
        previous_token: the token before the first one.
        n_bytes: UTF-8 bytes of the raw text of the split.
        stride: tokens between two windows; None is the block size, windows side by side.
        autocast: makes the context in which the model runs.

    Raises:
        ConfigError: on a stride that is not in [1, T]; a longer one would pass over tokens.
    """
    stride = model.block_size if stride is None else stride
    if not 1 <= stride <= model.block_size:
        raise ConfigError(f"stride must be in [1, {model.block_size}] but got {stride}")
    was_training = model.training
    model.eval()
    nats = 0.0
    for x, y in _windows(tokens, previous_token, model, stride):
        with autocast():
            loss = model(x.to(device), y.to(device), reduction="sum")
        nats += float(loss)
    model.train(was_training)
    return Evaluation(nats=nats, n_tokens=len(tokens), n_bytes=n_bytes)


def evaluate_split(setup: Setup, split: Split) -> Evaluation:
    """`evaluate` a run's model on one of its held-out splits, in the run's precision.

    Raises:
        ConfigError: the corpus has no such split.
    """
    text = setup.text.encoded
    tokens, before, n_bytes = {
        "val": (text.val, text.train, text.val_bytes),
        "test": (text.test, text.val, text.test_bytes),
    }[split]
    if tokens is None:
        raise ConfigError(f"a {split} part needs a {split}_fraction above 0 but got 0")
    return _evaluate(setup, tokens, n_bytes, previous_token=int(before[-1]))


@dataclass(frozen=True, eq=False)
class ValPart:
    """The part of the validation text that a run's curve is drawn by."""

    tokens: TokenArray
    """Its ids (N,)."""

    n_bytes: int
    """UTF-8 bytes of its raw text."""


def part_of_val(text: Text, n_bytes: int) -> ValPart:
    """At most `n_bytes` of the validation text, encoded by themselves: the same bytes for all
    tokenizers.

    Raises:
        DataError: the corpus can't be read any more.
    """
    excerpt = text.corpus.excerpt(text.corpus.split("val"), n_bytes)
    return ValPart(text.tokenizer.encode(excerpt), len(excerpt.encode()))


def evaluate_part(setup: Setup, part: ValPart) -> Evaluation:
    """`evaluate_split` on that part alone; its windows run on from one of its places to the next.

    Its first token too follows the last of the training part.
    """
    previous = int(setup.text.encoded.train[-1])
    return _evaluate(setup, part.tokens, part.n_bytes, previous_token=previous)


def _evaluate(
    setup: Setup, tokens: TokenArray, n_bytes: int, *, previous_token: int
) -> Evaluation:
    return evaluate(
        setup.precision.model,
        tokens,
        previous_token=previous_token,
        n_bytes=n_bytes,
        device=setup.device,
        stride=setup.config.train.eval_stride,
        autocast=setup.precision.context,
    )


def _windows(
    tokens: np.ndarray, previous_token: int, model: LanguageModel, stride: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of inputs and targets (B, T), targets seen before or past the end being ignored."""
    T = model.block_size
    n_windows = 1 + math.ceil(max(0, len(tokens) - T) / stride)
    batch_size = max(1, MAX_LOGITS // (T * model.vocab_size))
    for first in range(0, n_windows, batch_size):
        starts = stride * np.arange(first, min(first + batch_size, n_windows))
        places = starts[:, None] + np.arange(T)  # (B, T) place of each target in the split
        inside = places < len(tokens)
        y = tokens[np.where(inside, places, 0)].astype(np.int64)
        x = tokens[np.where(inside, places, 1) - 1].astype(np.int64)  # one to the left
        x[places == 0] = previous_token
        seen = (starts[:, None] > 0) & (np.arange(T) < T - stride)
        y[~inside | seen] = IGNORE_INDEX
        yield torch.from_numpy(x), torch.from_numpy(y)


@torch.no_grad()
def estimate_loss(
    model: LanguageModel,
    tokens: np.ndarray,
    *,
    n_batches: int,
    batch_size: int,
    generator: torch.Generator,
    device: torch.device,
    autocast: Autocast = nullcontext,
) -> float:
    """The originals' estimate: mean loss in nats per token over random batches. Noisy."""
    was_training = model.training
    model.eval()
    losses = []
    for _ in range(n_batches):
        x, y = sample_batch(tokens, model.block_size, batch_size, generator)  # (B, T)
        with autocast():
            losses.append(float(model(x.to(device), y.to(device))))
    model.train(was_training)
    return sum(losses) / n_batches
