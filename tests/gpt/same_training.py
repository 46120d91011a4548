"""Two ways to compute one run: what is run, and whether both learned the same."""

import statistics
from collections.abc import Callable, Sequence

import pytest

from gpt.training.loop import Point

NANOGPT = {"tied_head": "True", "dropout": "0.2", "micro_batch_size": "3", "activation": "gelu"}
MODERN = {
    "position": "rotary",
    "norm": "rmsnorm",
    "qk_norm": "True",
    "activation": "relu2",
    "loss_head": "chunked",
    "optimizer": "muon",
}
"""Settings of the tiny run, between them most of what a step can hold."""


def assert_same_training(one: Sequence[Point], other: Sequence[Point], tolerance: float) -> None:
    """Losses within a relative tolerance, the gradients' norms within ten times that."""
    for a, b in zip(one, other, strict=True):
        assert b.train_loss == pytest.approx(a.train_loss, rel=tolerance)
        assert b.grad_norm == pytest.approx(a.grad_norm, rel=10 * tolerance)


def assert_within_noise_of_seeds(
    final: Callable[[str, int], float], exact_dtype: str, rounded_dtype: str
) -> None:
    """Final losses, by dtype and seed: in the rounded dtype they differ by less than by seed."""
    exact, rounded = ([final(d, s) for s in range(4)] for d in (exact_dtype, rounded_dtype))
    differences = [b - a for a, b in zip(exact, rounded, strict=True)]

    assert any(differences)
    assert abs(statistics.mean(differences)) < statistics.stdev(exact)
    assert max(map(abs, differences)) < 0.05
