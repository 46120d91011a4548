"""How long did a run train up to a point? Neither evaluation nor logging counts."""

from typing import TYPE_CHECKING

from gpt.training.clock import TRAINING

if TYPE_CHECKING:
    from gpt.training.loop import Point  # it imports torch


def train_seconds(point: "Point") -> float:
    """Seconds of training so far."""
    return sum(point.seconds[bucket] for bucket in TRAINING)
