"""The metrics that can rank cells: the scale on which their differences count, and their names.

Imports nothing heavy, so that a command's help answers at once.
"""

import math
from typing import Literal

Metric = Literal["val_bits_per_byte", "val_loss", "tokens_per_second", "seconds_to_target"]

RELATIVE: tuple[Metric, ...] = ("tokens_per_second", "seconds_to_target")
"""Metrics of time: their differences are ratios, so they are compared by their logarithms."""

LARGER_IS_BETTER: tuple[Metric, ...] = ("tokens_per_second",)

UNITS: dict[Metric, str] = {"val_bits_per_byte": " bits per byte", "val_loss": " nats per token"}

MATTERS: dict[Metric, float] = {
    "val_bits_per_byte": 0.005,
    "val_loss": 0.005,
    "tokens_per_second": 0.02,
    "seconds_to_target": 0.02,
}
"""Default of the smallest difference that matters, as a share of the best."""

TITLES: dict[Metric, str] = {
    "val_bits_per_byte": "bits per byte",
    "val_loss": "validation loss",
    "tokens_per_second": "tokens per second",
    "seconds_to_target": "seconds to the target loss",
}


def merit(metric: Metric, value: float) -> float:
    """The value on a scale where larger is better and differences can be compared."""
    scaled = (math.log(value) if value > 0 else -math.inf) if metric in RELATIVE else value
    return scaled if metric in LARGER_IS_BETTER else -scaled


def say_value(metric: Metric, value: float) -> str:
    """A metric's value with its unit: `2.056 bits per byte`, `18,974 tokens per second`."""
    return f"{say_number(metric, value)}{UNITS.get(metric, f' {TITLES[metric]}')}"


def say_number(metric: Metric, value: float) -> str:
    """The same without the unit."""
    digits = {"tokens_per_second": 0, "seconds_to_target": 1}.get(metric, 3)
    return f"{value:,.{digits}f}"


def say_gain(metric: Metric, gain: float) -> str:
    """A difference of merits in the metric's terms: `+0.0123`, or `+5.1%` for a speed."""
    if metric not in RELATIVE:
        return f"{round(gain, 4) + 0.0:+.4f}"  # no minus before a zero
    return f"{math.expm1(gain):+.1%}" if gain < 700 else "+inf%"


def say_size(metric: Metric, difference: float) -> str:
    """The size of a difference of merits, without a sign: `0.0123`, `5.1%`."""
    return say_gain(metric, difference).lstrip("+")


def say_count(count: float) -> str:
    """A number of parameters to three digits: `804 k`, `10.8 M`."""
    return f"{count / 1e3:.3g} k" if count < 1e6 else f"{count / 1e6:.3g} M"
