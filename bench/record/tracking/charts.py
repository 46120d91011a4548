"""The charts of a ledger's saved view in MLflow's UI, which draws a curve or a bar for each cell.

MLflow does not document the format: this one is read from the UI of MLflow 3.17. What another
version doesn't know it leaves out, or it draws its own charts, one for each metric.
"""

from collections.abc import Sequence
from typing import Any

from bench.record.tracking.axes import AXES

SECTION = "gpt-bench-answer"
"""The section that holds these charts, before those that MLflow makes."""

HEADING = "bits/byte against bytes and seconds · at the end · against speed"
"""MLflow calls a chart by its metric, so the section says what the charts are for."""

GENERATED = ("val_part", "val", "train", "speed", "final", "mean")
"""Prefixes of metrics, of each of which MLflow makes a section of charts."""

MARGIN = 0.04
"""Of the range of a curve, above and below."""


def charts(
    *, ranked_by: str, curve: str | None, span: tuple[float, float] | None
) -> list[dict[str, Any]]:
    """The charts, in the order in which they are shown.

    Args:
        ranked_by: the metric that ranks the cells.
        curve: the metric that is drawn against what was spent; None: no run has any.
        span: the least and the greatest value on its y axis, which would else begin at 0.
    """
    speed, quality = ({"key": f"final/{name}", "type": "METRIC"} for name in ("tokens_s", "bpb"))
    found = [
        *(_curve(curve, spent, span) for spent in AXES.values() if curve),
        {"type": "BAR", "metricKey": ranked_by},
        {"type": "SCATTER", "xaxis": speed, "yaxis": quality},
    ]
    shared = {
        "metricSectionId": SECTION,
        "isGenerated": False,
        "deleted": False,
        "runsCountToCompare": 100,
    }
    return [{**shared, **chart, "uuid": f"{SECTION}-{i}"} for i, chart in enumerate(found)]


def sections() -> list[dict[str, Any]]:
    """The sections; only the first one is open."""
    shared = {"isReordered": False, "deleted": False}
    return [
        {**shared, "uuid": SECTION, "name": HEADING, "display": True, "isGenerated": False},
        *(
            {**shared, "uuid": f"gpt-bench-{name}", "name": name, "display": False}
            | {"isGenerated": True}
            for name in GENERATED
        ),
    ]


def span_of(values: Sequence[float]) -> tuple[float, float] | None:
    """The range of an axis that shows these values; None without any."""
    if not values:
        return None
    margin = MARGIN * (max(values) - min(values)) or MARGIN * abs(max(values))
    return min(values) - margin, max(values) + margin


def _curve(metric: str, spent: str, span: tuple[float, float] | None) -> dict[str, Any]:
    return {
        "type": "LINE",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "metric",
        "selectedXAxisMetricKey": spent,
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": False,
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "displayPoints": True,
        "range": {} if span is None else {"yMin": span[0], "yMax": span[1]},
    }
