"""Under which names do a run's numbers stand in MLflow, and in the `curve.csv` of its files?

MLflow makes a section of charts of each prefix, and cuts long names, so these are short. The
ledger's summary has names with units instead; one table translates them.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.run.train_seconds import train_seconds

if TYPE_CHECKING:
    from gpt.training.loop import Point  # it imports torch

SHORT = {
    "val_bits_per_byte": "bpb",
    "val_loss": "loss",
    "tokens_per_second": "tokens_s",
    "step_milliseconds": "step_ms",
    "train_seconds": "seconds",
    "n_params": "params",
    "n_steps": "steps",
    "n_tokens": "tokens",
    "n_bytes": "bytes",
    "n_flops": "flops",
    "peak_memory_bytes": "peak_bytes",
    "test_bits_per_byte": "test_bpb",
    "val_bits_per_byte_float32": "bpb_float32",
    "test_bits_per_byte_float32": "test_bpb_float32",
}
"""Name in the ledger's summary -> name after the prefix; other names stay as they are."""


def final_name(name: str) -> str:
    """The metric that holds a number of the ledger's summary: `final/bpb`."""
    return f"final/{SHORT.get(name, name)}"


def final_metrics(summary: Mapping[str, float]) -> dict[str, float]:
    """A summary as metrics."""
    return {final_name(name): value for name, value in summary.items()}


def point_metrics(point: "Point", flops_per_step: float | None) -> dict[str, float | None]:
    """A point as metrics.

    `train/bytes`, `train/tokens`, `train/flops` and `train/seconds` say what was spent so far, as
    the numbers of the same names do at the end; they can be the x axis of a chart. `val/` covers
    the whole validation text, and has a value at least at the end; `val_part/` covers the part
    that every evaluation reads. `mean/` is the x axis of curves (`bench.record.tracking.axes`).
    """
    evaluation, part, estimate = point.evaluation, point.val_part, point.estimate
    return {
        "train/loss": point.train_loss,
        "train/bytes": point.n_bytes,
        "train/tokens": point.n_tokens,
        "train/flops": None if flops_per_step is None else point.step * flops_per_step,
        "train/seconds": train_seconds(point),
        "train/learning_rate": point.learning_rate,
        "train/grad_norm": point.grad_norm,
        "train/loss_estimate": estimate[0] if estimate else None,
        "val/loss": evaluation.loss if evaluation else None,
        "val/bpb": evaluation.bits_per_byte if evaluation else None,
        "val/loss_estimate": estimate[1] if estimate else None,
        "val_part/loss": part.loss if part else None,
        "val_part/bpb": part.bits_per_byte if part else None,
        "speed/tokens_s": point.tokens_per_second,
        "speed/step_ms": point.step_milliseconds,
    }
