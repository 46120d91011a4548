"""Metrics as MLflow stores them: each value with its time and step."""

import math
import time
from collections.abc import Mapping

MetricPoint = tuple[str, float, int, int]
"""A metric's name, its value, when it was taken (milliseconds since 1970), and its step."""


def milliseconds() -> int:
    """Milliseconds since 1970, as MLflow counts time."""
    return int(time.time() * 1000)


def metric_points(step: int, metrics: Mapping[str, float | None]) -> list[MetricPoint]:
    """Metrics with the present time; values that are None or not finite are left out.

    MLflow stores an infinity as 1.8e308, which ruins every chart.
    """
    now = milliseconds()
    return [
        (name, value, now, step)
        for name, value in metrics.items()
        if value is not None and math.isfinite(value)
    ]
