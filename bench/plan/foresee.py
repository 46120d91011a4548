"""From a request to its forecast: what is known of this machine, and what is timed for it now."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from bench.ledger.entries import Entry
from bench.ledger.ledger import Ledger
from bench.plan.calibration import Known, calibrate, shapes_of
from bench.plan.forecast import Forecast
from bench.plan.plan import Plan, Request
from bench.plan.runs import count_done
from bench.plan.workers import side_by_side
from bench.run.cost import n_steps, rough_step_seconds
from bench.run.executor import Executor, LocalExecutor, is_here
from bench.run.messages import Folders, Prepared
from gpt.cache import default_cache
from gpt.config import RunConfig
from gpt.device import available_devices
from gpt.errors import GptBenchError

PLAN_SECONDS = 8.0
"""What a plan's workers may begin to time shapes in."""

STUDY_SECONDS = 3.0
"""The same before a study's first run."""

WORTH_SECONDS = 60.0
"""A study that is roughly shorter is run without timing anything first."""


def foresee_plan(request: Request, plan: Plan, *, timed: bool = True) -> Forecast | None:
    """The forecast of a study that does not run; None on a cluster, which is not this machine.

    Args:
        timed: let workers time those of its shapes that are not known yet, for a few seconds.
    """
    if request.executor == "ray":
        return None
    n_workers, n_threads = side_by_side(request, plan)
    known = Known(default_cache(), n_workers=n_workers, n_threads=n_threads)
    folders = Folders(cache=default_cache(), corpora_dir=request.corpora_dir)
    configs = _here([cell.config for cell in plan.grid.cells], available_devices())
    if timed and (shapes := shapes_of(configs, known)):
        with closing(LocalExecutor(n_workers, n_threads)) as executor:
            calibrate(shapes, known, executor, folders, seconds=PLAN_SECONDS)
    return _forecast(request, plan, known, available_devices(), n_workers)


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """What is known beforehand of a study's runs."""

    predict: Callable[[RunConfig], float | None]
    """Seconds of a run; None where nothing is known."""

    mean_seconds: float
    """Of a run of any cell."""

    n_workers: int
    """Runs side by side."""


def foresee_study(
    request: Request,
    plan: Plan,
    *,
    executor: Executor,
    folders: Folders,
    ready: Mapping[str, Prepared],
    stopped: Callable[[], bool],
) -> Foresight | None:
    """What a study's runs will take, before its workers begin the first ones.

    Only where the study is long enough to be worth it do they time what is not known yet.

    Args:
        ready: texts by their key; more of them come meanwhile.
        stopped: whether a signal says stop.
    """
    if request.executor == "ray":
        return None
    n_workers, n_threads = side_by_side(request, plan)
    known = Known(folders.cache, n_workers=n_workers, n_threads=n_threads)

    def look_at_texts() -> None:
        """Learn of those that were made meanwhile."""
        known.keep_texts({key: text.size for key, text in ready.items() if text.size})

    look_at_texts()
    configs = _here([cell.config for cell in plan.grid.cells], executor.devices)
    roughly = sum(_rough_seconds(config, known) for config in configs) / max(1, len(configs))
    shapes = shapes_of(configs, known)
    if shapes and roughly * plan.n_runs / n_workers > WORTH_SECONDS:
        calibrate(shapes, known, executor, folders, seconds=STUDY_SECONDS, stopped=stopped)
    forecast = _forecast(request, plan, known, executor.devices, n_workers)
    if forecast.mean_seconds is None:
        return None

    def predict(config: RunConfig) -> float | None:
        look_at_texts()
        return forecast.seconds_of(config)

    return Foresight(predict=predict, mean_seconds=forecast.mean_seconds, n_workers=n_workers)


def _forecast(
    request: Request, plan: Plan, known: Known, devices: Sequence[str], n_workers: int
) -> Forecast:
    entries = _entries(plan)
    return Forecast(
        [cell.config for cell in plan.grid.cells],
        known,
        entries=entries,
        n_done=0 if request.fresh else count_done(plan, entries),
        devices=devices,
        n_workers=n_workers,
    )


def _entries(plan: Plan) -> list[Entry]:
    """The runs of a study that have ended, if it was ever begun and can be read."""
    with suppress(GptBenchError):
        if plan.journal.is_file():
            return Ledger.read(plan.journal).entries
    return []


def _here(configs: Sequence[RunConfig], devices: Sequence[str]) -> list[RunConfig]:
    """The configs whose device is there."""
    return [config for config in configs if is_here(config, devices)]


def _rough_seconds(config: RunConfig, known: Known) -> float:
    """Of a run, on no machine in particular."""
    size = known.size(config)
    if config.train.budget.unit == "seconds":
        return config.train.budget.amount
    return n_steps(config, size) * rough_step_seconds(config, size)
