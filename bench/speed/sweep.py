"""A sweep of 24 runs: this suite against a plain loop; and what the harness costs one run.

Both ways are commands, each started in an empty folder, and both write to MLflow's default store
there; starting Python and creating the database count for both.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import torch

from bench.record.metric_names import point_metrics
from bench.record.outbox import Outbox
from bench.record.tracking import Tracker
from bench.run.executor import LocalExecutor
from bench.run.messages import Finished, Folders, Prepare, Started, Train
from bench.speed.rows import Row, TimingRace
from bench.system.lifeline import killed_with_parent
from bench.system.scratch import scratch_folder
from bench.timing.interleave import interleave
from gpt.cache import CACHE_VARIABLE
from gpt.config import RunConfig
from gpt.errors import MachineError
from gpt.training.loop import Point


def sweep_row(
    *, study: str, rounds: int, settings: list[str], device: str, workers: int | None
) -> Row:
    """Wall clock of `python -m bench.study` over that of `python -m bench.speed.plain_loop`.

    Args:
        study: its name, or the path of its file.
        settings: overrides of the cells' configs, `key=value`.
        workers: our runs at the same time; None: the suite's default.
    """
    everywhere = [f"device={device}", *settings]
    overrides = [part for setting in everywhere for part in ("--set", setting)]
    options = [] if workers is None else ["--workers", str(workers)]
    ways = {
        "ours": lambda: _command("bench.study", study, *options, *overrides),
        "loop": lambda: _command("bench.speed.plain_loop", study, *overrides),
    }
    seconds = interleave(ways, rounds=rounds, warm_up=0)
    return Row(
        name="wall clock of a 24-run sweep" + ("" if device == "cpu" else f" on {device}"),
        ours=" ".join(["bench.study", *options]),
        baseline="a plain loop, log_metric a step",
        **TimingRace(seconds).compared("ours", "loop"),
        target=3.0,
    )


def _command(module: str, *arguments: str) -> None:
    """Run a module in an empty folder, with an empty cache."""
    with scratch_folder() as folder:
        environment = {**os.environ, CACHE_VARIABLE: str(folder / "cache")}
        environment.pop("MLFLOW_TRACKING_URI", None)
        command = [sys.executable, "-m", module, *arguments]
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            preexec_fn=None if sys.platform == "win32" else killed_with_parent,
        )
        if done.returncode:
            raise MachineError(f"{' '.join(command[1:])} must end well but: {done.stderr[-500:]}")


def overhead_row(config: RunConfig, tracker: Tracker, *, rounds: int, folder: Path) -> Row:
    """The share of a recorded run's wall time that is neither training nor evaluation."""
    folders = Folders(cache=folder / "cache", corpora_dir=None)
    outbox = Outbox(tracker, folder / "unsent")
    executor = LocalExecutor(1, torch.get_num_threads())
    try:
        executor.submit("text", Prepare(config=config, folders=folders))
        _events(executor)
        shares = []
        for i in range(rounds):
            start = time.perf_counter()
            task = Train(config=config, folders=folders, folder=folder / f"run-{i}")
            executor.submit("run", task)
            summary = _record(executor, outbox, config, task.folder)
            wall = time.perf_counter() - start
            shares.append(1 - (summary["train_seconds"] + summary["evaluation_seconds"]) / wall)
    finally:
        executor.close()
        outbox.close()
    return Row(
        name=f"overhead of a run of {config.train.budget}",
        ours="wall − training − evaluation",
        baseline="wall",
        ratios=shares,
        target=0.02,
        at_most=True,
    )


def _events(executor: LocalExecutor) -> list[object]:
    """All messages of the current task, up to its last."""
    events: list[object] = []
    while not (events and isinstance(events[-1], Finished)):
        events += [event for _, event in executor.events(1.0)]
    return events


def _record(
    executor: LocalExecutor, outbox: Outbox, config: RunConfig, folder: Path
) -> dict[str, float]:
    """Record a run as `bench.study` does, while its messages arrive; returns its summary."""
    run_id, flops_per_step = "", None
    while True:
        for _, event in executor.events(1.0):
            if isinstance(event, Started):
                flops_per_step = event.facts["flops_per_step"]
                run_id = outbox.begin(
                    Tracker.start_run,
                    "overhead",
                    launch="",
                    ledger="speed",
                    params=config.flat(),
                    tags=event.facts,
                )
            elif isinstance(event, Point):
                outbox.log(run_id, event.step, point_metrics(event, flops_per_step))
            elif isinstance(event, Finished):
                outbox.finish(run_id, "FINISHED", tags={"outcome": event.outcome}, folder=folder)
                outbox.flush()
                if event.summary is None:
                    raise RuntimeError(event.reason)
                return event.summary
