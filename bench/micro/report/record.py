"""A session of microbenchmarks as a run of the MLflow experiment `microbenchmarks`.

A metric's name has the quantity and the series before the slash, which makes a section of charts,
and the contestant after it. T is its step, so a chart shows a quantity against T.
"""

import json
import re
from collections.abc import Callable
from itertools import chain
from typing import Any

from bench.micro.report.page import write_report
from bench.micro.report.results import Results, Row
from bench.record.tracking import Tracker, metric_points
from bench.system.provenance import environment
from bench.system.scratch import scratch_folder

EXPERIMENT = "microbenchmarks"
DESCRIPTION = """How long do the pieces take: causal means, attention kernels, loss head, norms,
activations, optimizers, tokenizers? One run is one session of `pytest --benchmark-only
--bench-mlflow`; the step of a metric is T, `results.json` is what pytest-benchmark saved, and
`report.html` says which way is fastest: metrics were taken one after another and can't tell."""


def open_record(size: str) -> Callable[[dict[str, Any]], None]:
    """Connect to the tracking store; returns a function that records a session's saved JSON there.

    Raises:
        MachineError: the store can't be reached or written.
    """
    tracker = Tracker(EXPERIMENT, DESCRIPTION)

    def record(saved: dict[str, Any]) -> None:
        results, content = Results.from_saved(saved), json.dumps(saved)
        where = {
            "size": size,
            "devices": ", ".join(sorted({row.device_name for row in results.rows})),
            "threads": ", ".join(sorted({str(row.threads) for row in results.rows})),
        }
        run_id = tracker.start_launch(
            f"{size}, {results.commit}", ledger=EXPERIMENT, tags={**_flat(environment()), **where}
        )
        metrics = (metric_points(row.T or 0, _metrics(row)) for row in results.rows)
        tracker.log(run_id, list(chain.from_iterable(metrics)))
        with scratch_folder() as scratch:
            (folder := scratch / "session").mkdir()
            (folder / "results.json").write_text(content, "utf-8")
            write_report(results, folder / "report.html")
            left_out = {f"no_time.{left.name}": left.reason for left in results.left_out}
            tracker.finish(run_id, "FINISHED", tags=left_out, folder=folder)

    return record


def _flat(environment: dict[str, Any]) -> dict[str, Any]:
    libraries: dict[str, Any] = environment.pop("libraries")
    return environment | libraries


def _metrics(row: Row) -> dict[str, float | None]:
    series = "_".join(re.findall(r"\w+", row.series))
    device = "" if row.device == "cpu" else f"_{row.device}"
    contestant = "_".join(re.findall(r"[\w.]+", row.name))
    name = f"{series}{device}/{contestant}"
    return {
        f"milliseconds_{name}": 1000 * row.median_seconds,
        f"peak_megabytes_{name}": (
            None if row.peak_memory_bytes is None else row.peak_memory_bytes / 1e6
        ),
    }
