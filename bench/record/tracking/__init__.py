"""The MLflow client: what is written to the store and shown in its UI. All else avoids mlflow."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = (
    "true"  # the printed addresses would hold passwords
)
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = (
    "0"  # a repeated create makes two runs; the outbox retries
)

from bench.record.database import TAG_ATTEMPT
from bench.record.tracking.axes import AXES
from bench.record.tracking.colours import TAG_COLOUR, TAG_CURVE, colours
from bench.record.tracking.metric_points import MetricPoint, metric_points, milliseconds
from bench.record.tracking.outages import first_line, is_outage
from bench.record.tracking.pages import TAG_CELL_KEY
from bench.record.tracking.recorded_config import load_config
from bench.record.tracking.tracker import TAG_CELL, Tracker

__all__ = [
    "AXES",
    "TAG_ATTEMPT",
    "TAG_CELL",
    "TAG_CELL_KEY",
    "TAG_COLOUR",
    "TAG_CURVE",
    "MetricPoint",
    "Tracker",
    "colours",
    "first_line",
    "is_outage",
    "load_config",
    "metric_points",
    "milliseconds",
]
