"""The saved views of a ledger in MLflow's UI: a leaderboard and overlaid curves.

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

from bench.system.redact import redacted

UI_ADDRESS = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves unless told otherwise."""

CHART_SECTIONS = ("val_part", "val", "train", "speed", "final")
"""Prefixes of metrics, in the order in which their charts are worth looking at."""


def view_tags(
    name: str,
    *,
    ledger: str,
    runs: str,
    group_by: str,
    order_by: str,
    ascending: bool,
    columns: Sequence[str],
) -> dict[str, str]:
    """The tags of an experiment that hold its saved views.

    Args:
        runs: a filter that finds the ledger's runs.
        group_by: the tag that groups runs into curves.
        order_by: the metric that ranks the runs.
    """
    table = {
        "searchFilter": f"{runs} AND attributes.status = 'FINISHED'",
        "orderByKey": f"metrics.`{order_by}`",
        "orderByAsc": ascending,
        "selectedColumns": list(columns),
    }
    curves = {
        **table,
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": group_by}],
        },
        "runsHiddenMode": "SHOW_ALL",
        "hideEmptyCharts": True,
        "isAccordionReordered": True,
        "compareRunCharts": [],
        "compareRunSections": [
            {"uuid": f"{key}-{section}", "name": section, "display": section != "final"}
            | {"isReordered": False, "deleted": False, "isGenerated": True}
            for key, section in enumerate(CHART_SECTIONS)
        ],
    }
    return {
        f"mlflow.sharedViewState.{_key(ledger)}-table": _packed(f"{name}: leaderboard", table),
        f"mlflow.sharedViewState.{_key(ledger)}-curves": _packed(f"{name}: curves", curves),
    }


def addresses(uri: str, experiment_id: str, ledger: str) -> dict[str, str]:
    """Name of each view of a ledger -> its address in the UI."""
    server = redacted(uri).partition("?")[0] if uri.startswith("http") else UI_ADDRESS
    view = (
        f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs"
        f"?workflowType=machine_learning&viewStateShareKey={_key(ledger)}"
    )
    return {"leaderboard": f"{view}-table", "curves": f"{view}-curves&compareRunsMode=CHART"}


def _key(ledger: str) -> str:
    return f"gpt-bench-{ledger}"


def _packed(name: str, state: Mapping[str, Any]) -> str:
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    now = int(time.time() * 1000)
    view = {"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"}
    return json.dumps(view)
