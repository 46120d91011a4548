"""The x axes of curves: what a cell's runs had spent, on average, at each of their evaluations.

MLflow draws the mean of a cell's runs where their x values are equal, and joins what is left into
a zigzag. Two seeds read equal bytes, but are never equally quick; under a budget in seconds
neither is equal. So each run has metrics of its own for the axes, which first hold what it spent
itself, and then the mean over its cell.
"""

import statistics
from collections.abc import Sequence
from itertools import zip_longest

from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from bench.record.tracking.metric_points import milliseconds

AXES = {"train/bytes": "mean/bytes", "train/seconds": "mean/seconds"}
"""What a run spent -> its mean over the cell."""


def align(client: MlflowClient, run_ids: Sequence[str]) -> None:
    """Give the runs of a cell, which must have values of their own, the same x values.

    A later value of a step replaces an earlier one in MLflow's charts.
    """
    for spent, mean in AXES.items():
        own = [_history(client, run_id, spent) for run_id in run_ids]
        steps = [sorted(_history(client, run_id, mean)) for run_id in run_ids]
        found = [
            [values[step] for step in at if step in values]
            for values, at in zip(own, steps, strict=True)
        ]
        means = [
            statistics.fmean(value for value in values if value is not None)
            for values in zip_longest(*found)
        ]
        now = milliseconds()
        for run_id, at in zip(run_ids, steps, strict=True):
            points = zip(at, means, strict=False)
            client.log_batch(run_id, [Metric(mean, value, now, step) for step, value in points])


def _history(client: MlflowClient, run_id: str, metric: str) -> dict[int, float]:
    """Step -> value, the latest one."""
    points = client.get_metric_history(run_id, metric)
    return {point.step: point.value for point in sorted(points, key=lambda p: p.timestamp)}
