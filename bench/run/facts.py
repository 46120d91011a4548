"""A run's facts, known before its first step, and its summary, known after the last."""

import math
import statistics
from typing import Any

import torch

from bench.run.notebook import against_notebook
from bench.run.train_seconds import train_seconds
from bench.system import provenance
from gpt.config import RunConfig
from gpt.device import device_name
from gpt.training.flops import flops_per_step
from gpt.training.loop import Point, has_reached
from gpt.training.setup import Setup, Text


def _flags(config: RunConfig, text: Text) -> str:
    """Warnings about the numbers of a run on this text, shown beside them; "" without any."""
    flags = {
        "lossy": not config.tokenizer.lossless,
        "saw validation": config.tokenizer.sees_validation,
        "degenerate text": text.corpus.degenerate,
        "not the notebook's pieces": bool(against_notebook(text)),
    }
    return ", ".join(flag for flag, raised in flags.items() if raised)


def facts_of(setup: Setup) -> dict[str, Any]:
    text = setup.text
    notebook = against_notebook(text)
    return {
        "corpus": text.corpus.name,
        "corpus_digest": text.corpus.digest,
        "tokenizer_digest": text.tokenizer.digest,
        "vocab_size": text.tokenizer.vocab_size,
        "device_name": device_name(setup.device),
        "kernel": setup.config.model.kernel,
        "threads": torch.get_num_threads(),
        "environment": provenance.environment_digest(),
        "canary": "passed",
        "flags": _flags(setup.config, text),
        **({} if notebook is None else {"notebook": notebook or "its pieces"}),
        "n_params": setup.model.n_params,
        "flops_per_step": flops_per_step(setup.model, setup.config),
        "bytes_per_token": text.encoded.bytes_per_token,
        "context_bytes": setup.config.model.block_size * text.encoded.bytes_per_token,
    }


def summarize(setup: Setup, points: list[Point]) -> dict[str, float]:
    """The final numbers of a complete run.

    The speed is the median over the stretches after the warm-up. The loss is that of the last
    evaluation, because the best one would be selected on the text that it is measured on. A run
    that did not reach its target loss gets infinite seconds to target.
    """
    last = points[-1]
    evaluation = last.evaluation
    if evaluation is None:
        raise AssertionError("the last point of a complete run carries an evaluation")
    timed = points[1:] or points
    seconds = train_seconds(last)
    target = setup.config.train.target_loss
    to_target = seconds if has_reached(target, evaluation) else math.inf
    return {
        "val_bits_per_byte": evaluation.bits_per_byte,
        "val_loss": evaluation.loss,
        "train_loss": last.train_loss,
        "tokens_per_second": statistics.median(p.tokens_per_second for p in timed),
        "step_milliseconds": statistics.median(p.step_milliseconds for p in timed),
        "n_params": setup.model.n_params,
        "n_steps": last.step,
        "n_tokens": last.n_tokens,
        "n_bytes": last.n_bytes,
        "n_flops": last.step * flops_per_step(setup.model, setup.config),
        "context_bytes": setup.config.model.block_size * setup.text.encoded.bytes_per_token,
        "peak_memory_bytes": last.peak_memory_bytes,
        **{f"{bucket}_seconds": spent for bucket, spent in last.seconds.items()},
        "train_seconds": seconds,
        **({"seconds_to_target": to_target} if target is not None else {}),
    }
