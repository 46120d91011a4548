"""What will a study take? The cost of each cell, of all its runs, and how far that may be off.

A cell of which runs are complete costs what they took; any other what the steps of its shape say
(`bench.run.cost`). How many runs a race takes is known only at its end, so its total is a guess
between the fewest and the most.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bench.ledger.entries import Entry
from bench.ledger.outcome import Outcome
from bench.plan.calibration import Known
from bench.plan.plan import Plan
from bench.plan.runs import Runs
from bench.run.cost import (
    Cost,
    Measured,
    family,
    n_steps,
    rough_step_seconds,
    run_seconds,
    shape_key,
    text_key,
)
from bench.run.executor import is_here
from bench.spec import NopPruner
from gpt.config import Budget, RunConfig

START_SECONDS = 4.0
"""Of a command: imports, workers, and opening the record."""

TEXT_SECONDS = {"unigram": 5.0, "original-unigram": 5.0, "bpe": 1.5}
"""Making a text ready that was not yet; of any other tokenizer half a second."""

KERNEL_SECONDS = 1.5
"""Looking for the fastest attention kernel at a block size, which each text has another of."""

LEAST_SPREAD = 0.15
GUESSED_SPREAD = 0.1
"""How far a forecast is off at least, as a share, and how much further where a size is guessed."""


@dataclass(frozen=True, kw_only=True)
class Total:
    """Seconds from the command to its end."""

    low: float
    expected: float
    high: float


class Forecast:
    """What the runs of a study take.

    Args:
        configs: of its cells; of a search, of some of its points.
        known: what was timed on this machine.
        entries: runs of it that have ended.
        n_done: how many of its runs need not be run.
        devices: the kinds that are here; None: all that are asked for.
        n_workers: runs side by side.
    """

    def __init__(
        self,
        configs: Iterable[RunConfig],
        known: Known,
        *,
        entries: Iterable[Entry] = (),
        n_done: int = 0,
        devices: Sequence[str] | None = None,
        n_workers: int = 1,
    ) -> None:
        self.n_workers = n_workers
        self.n_done = n_done
        self._known = known
        self._devices = devices
        self._configs = list(configs)
        self._curves = _curves_of(self._configs, known)
        took: defaultdict[str, list[float]] = defaultdict(list)
        memory: dict[str, float] = {}
        for entry in entries:
            if entry.outcome is Outcome.COMPLETE and "run_seconds" in entry.facts:
                took[entry.cell].append(entry.facts["run_seconds"])
                memory[entry.cell] = entry.summary["peak_memory_bytes"]
        self._learned = {
            cell: Cost(seconds=statistics.median(seconds), memory_bytes=round(memory[cell]),
                       spread=0.0, exact=True)
            for cell, seconds in took.items()
        }  # fmt: skip

    def of(self, config: RunConfig) -> Cost | None:
        """What a run of this config takes; None where no device or no shape says so."""
        if self._devices and not is_here(config, self._devices):
            return None
        if self._learned and (learned := self._learned.get(config.cell_key)):
            return learned
        size = self._known.size(config)
        measured = self._known.shapes.get(shape_key(config, size))
        curve = self._curves.get(family(config)) or self._curves.get("")
        exact = size.known and measured is not None
        if measured is None and curve is not None:
            measured = curve.at(rough_step_seconds(config, size))
        if measured is None:
            return None
        seconds = run_seconds(config, size, measured)
        return Cost(
            seconds=seconds,
            memory_bytes=measured.peak_memory_bytes,
            spread=measured.spread,
            exact=exact,
        )

    def seconds_of(self, config: RunConfig) -> float | None:
        """The same as seconds alone."""
        cost = self.of(config)
        return None if cost is None else cost.seconds

    @cached_property
    def costs(self) -> list[Cost | None]:
        """Of each cell, in their order."""
        return [self.of(config) for config in self._configs]

    @property
    def mean_seconds(self) -> float | None:
        """Of a run, over the cells that can be run here."""
        seconds = [cost.seconds for cost in self.costs if cost]
        return statistics.mean(seconds) if seconds else None

    def under(self, budget: Budget) -> "Forecast":
        """The same of runs with another budget, none of which has ended."""
        configs = (
            config.replace(train=replace(config.train, budget=budget)) for config in self._configs
        )
        return Forecast(configs, self._known, devices=self._devices, n_workers=self.n_workers)

    def least_share(self, fewest_steps: int) -> float:
        """The share of its budget, at most 1, that leaves each run so many steps at least."""
        steps = [n_steps(config, self._known.size(config)) for config in self._configs]
        if any(map(math.isnan, steps)):
            seconds = rough = 0.0
            for config in self._configs:
                rough = rough_step_seconds(config, self._known.size(config))
                seconds = max(seconds, fewest_steps * rough / config.train.budget.amount)
            return min(1.0, seconds)
        return min(1.0, fewest_steps / min(steps))

    def total(self, plan: Plan, runs: Runs) -> Total | None:
        """What so many of its runs take, from the command to its end."""
        costs = [cost for cost in self.costs if cost]
        if not costs:
            return None
        mean = statistics.mean(cost.seconds for cost in costs)
        spread = min(0.5, max(LEAST_SPREAD, statistics.median(cost.spread for cost in costs)))
        spread += GUESSED_SPREAD * (not all(cost.exact for cost in costs))
        before = START_SECONDS + self._text_seconds()

        def wall(n_runs: int, n_confirming: int) -> float:
            n_waits = len(plan.looks) if n_runs < runs.most else 1  # a look waits for the last run
            waiting = n_waits * mean * (1 - 1 / self.n_workers) / 2
            swept = mean * (n_runs - n_confirming) / self.n_workers + waiting
            return before + swept + mean * math.ceil(n_confirming / self.n_workers)

        low, expected, high = (
            wall(n, again)
            for n, again in zip(
                (runs.fewest, runs.expected, runs.most), runs.n_confirming, strict=True
            )
        )
        if plan.study.search and plan.study.search.pruner is not NopPruner:
            low, expected = low / 3, 2 * expected / 3  # it stops runs early
        return Total(low=low * (1 - spread), expected=expected, high=high * (1 + spread))

    def _text_seconds(self) -> float:
        """Making ready the texts that are not, a worker each, and choosing kernels for them."""
        texts = {text_key(config): config for config in self._configs}
        seconds = [
            TEXT_SECONDS.get(config.tokenizer.kind, 0.5)
            + KERNEL_SECONDS * (config.model.kernel == "auto")
            for key, config in texts.items()
            if key not in self._known.texts
        ]
        return sum(seconds) / self.n_workers


@dataclass(frozen=True)
class _Curve:
    """Shapes of one family that were timed, by what a step of each roughly takes."""

    roughly: Sequence[float]
    timed: Sequence[Measured]

    def at(self, rough_seconds: float) -> Measured:
        """What lies between two of them, each in the ratio to its rough number."""
        x, xs = math.log(rough_seconds), np.log(self.roughly)

        def between(values: Iterable[float]) -> float:
            return float(np.exp(np.interp(x, xs, np.log(np.maximum(1e-9, [*values])))))

        def scaled(values: Iterable[float]) -> float:
            ratios = [v / r for v, r in zip(values, self.roughly, strict=True)]
            return rough_seconds * between(ratios)

        return Measured(
            step_seconds=scaled(one.step_seconds for one in self.timed),
            spread=max(one.spread for one in self.timed),
            first_seconds=between(one.first_seconds for one in self.timed),
            fixed_seconds=between(one.fixed_seconds for one in self.timed),
            eval_token_seconds=between(one.eval_token_seconds for one in self.timed),
            peak_memory_bytes=round(between(one.peak_memory_bytes for one in self.timed)),
            dtype=self.timed[0].dtype,
        )


def _curves_of(configs: Iterable[RunConfig], known: Known) -> dict[str, _Curve]:
    """A curve for each family, and as "" one through all that was timed of these configs."""
    found: defaultdict[str, dict[float, Measured]] = defaultdict(dict)
    for config in configs:
        size = known.size(config)
        if measured := known.shapes.get(shape_key(config, size)):
            for name in (family(config), ""):
                found[name][rough_step_seconds(config, size)] = measured
    return {
        name: _Curve(sorted(points), [points[x] for x in sorted(points)])
        for name, points in found.items()
    }
