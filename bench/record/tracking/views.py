"""The saved views of a ledger in MLflow's UI: a leaderboard, curves, and the study's report.

The leaderboard is a table of the finished runs, best first. The curves are one for each cell, the
mean over its seeds. MLflow does not document the format of a saved view; a version that does not
know it opens the plain table instead.
"""

import base64
import json
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from bench.record.report_page import report_page
from bench.record.tracking.charts import sections
from bench.record.tracking.colours import TAG_CURVE
from bench.system.redact import redacted

UI_ADDRESS = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves unless told otherwise."""

CREATED, DURATION = {"runDateAndNestInfo": 140}, {"duration": 80}
"""Columns that are always there, and their width in pixels."""

MOST_NAME_PIXELS = 320


def view_tags(
    name: str,
    *,
    ledger: str,
    runs: str,
    order_by: str,
    ascending: bool,
    columns: Mapping[str, int],
    longest: int,
    charts: Sequence[Mapping[str, Any]],
) -> dict[str, str]:
    """The tags of an experiment that hold its saved views.

    Args:
        runs: a filter that finds the ledger's runs.
        order_by: the metric that ranks the runs.
        columns: what the leaderboard shows, in this order -> width in pixels.
        longest: characters of the longest name of a run.
        charts: those of the curves, see `bench.record.tracking.charts`.
    """
    name_pixels = min(50 + 7 * max(10, longest), MOST_NAME_PIXELS)
    widths = {"attributes.`Run Name`": name_pixels, **CREATED, **columns, **DURATION}
    table = {
        "searchFilter": f"{runs} AND attributes.status = 'FINISHED'",
        "orderByKey": f"metrics.`{order_by}`",
        "orderByAsc": ascending,
        "selectedColumns": list(columns),
        "columnOrder": list(widths),
        "columnWidths": widths,
    }
    curves = {
        **table,
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": TAG_CURVE}],
        },
        "runsHiddenMode": "SHOW_ALL",
        "runListHidden": True,
        "viewMaximized": True,
        "hideEmptyCharts": True,
        "isAccordionReordered": True,
        "compareRunCharts": list(charts),
        "compareRunSections": sections(),
    }
    return {
        f"mlflow.sharedViewState.{_key(ledger)}-table": _packed(f"{name}: leaderboard", table),
        f"mlflow.sharedViewState.{_key(ledger)}-curves": _packed(f"{name}: curves", curves),
    }


def addresses(
    uri: str, experiment_id: str, ledger: str, reported: str | None = None
) -> dict[str, str]:
    """Name of each view of a ledger -> its address in the UI.

    Args:
        reported: the run that holds the study's report; None: there is none.
    """
    server = redacted(uri).partition("?")[0] if uri.startswith("http") else UI_ADDRESS
    view = (
        f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs"
        f"?workflowType=machine_learning&viewStateShareKey={_key(ledger)}"
    )
    found = {"leaderboard": f"{view}-table", "curves": f"{view}-curves&compareRunsMode=CHART"}
    if reported is not None:
        found["report"] = f"{server.rstrip('/')}/{report_page(experiment_id, reported)}"
    return found


def _key(ledger: str) -> str:
    return f"gpt-bench-{ledger}"


def _packed(name: str, state: Mapping[str, Any]) -> str:
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    now = int(time.time() * 1000)
    view = {"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
    return json.dumps(view)
