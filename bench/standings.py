"""Who leads, and is that shown? The runs of a ledger, made into comparisons between cells.

Runs that may not be compared are refused here, whoever asks: a rank is a claim. Lossy tokenizers
stand outside, for they threw text away.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bench.budgets import require_equal_budgets
from bench.ledger import Entry
from bench.outcome import Outcome
from bench.spec import Metric
from bench.stats import CellComparison, Rule, Verdict, compare_cells
from gpt.config import RunConfig
from gpt.errors import ConfigError

RELATIVE: tuple[Metric, ...] = ("tokens_per_second", "seconds_to_target")
"""Metrics of time: their differences are ratios, so they are compared by their logarithms."""

LARGER_IS_BETTER: tuple[Metric, ...] = ("tokens_per_second",)

UNITS: dict[Metric, str] = {"val_bits_per_byte": " bits per byte", "val_loss": " nats per token"}

ENVIRONMENT = ("device_name", "threads", "environment")
"""Facts that runs on one device must share for their times to be compared."""


def refuse_unfair_metric(metric: Metric, configs: Iterable[RunConfig]) -> None:
    """Raise `ConfigError` if runs of unlike tokenizers would be ranked by loss per token."""
    kinds = {(c.corpus, c.tokenizer.canonical()) for c in configs}
    if metric in ("val_loss", "seconds_to_target") and len(kinds) > 1:
        raise ConfigError(
            f"{metric} can't rank {len(kinds)} tokenizers, for their tokens hold unlike amounts "
            "of text; use val_bits_per_byte"
        )


def refuse_unlike(entries: Sequence[Entry], metric: Metric) -> None:
    """Refuse to rank complete runs that differ in what a fair comparison holds fixed.

    Raises:
        ConfigError: unlike corpora, lossy runs beside lossless ones, raw loss across tokenizers,
            unlike budgets, or times of unlike environments.
    """
    if not entries:
        return
    refuse_unfair_metric(metric, [entry.config for entry in entries])
    if len({entry.config.tokenizer.lossless for entry in entries}) > 1:
        raise ConfigError(
            "lossless runs can't be compared with lossy ones, which threw text away; compare "
            "either among themselves"
        )
    _refuse_two("corpus", {str(e.facts.get("corpus_digest"))[:12]: e for e in entries})
    if metric != "seconds_to_target":  # a race to a loss ends when it is won
        units = {entry.config.train.budget.unit: entry for entry in entries}
        _refuse_two("unit of budget", units)
        require_equal_budgets({_name(entry): entry.summary for entry in entries}, *units)
    if metric in RELATIVE:
        for device in {entry.config.train.device for entry in entries}:
            machines = {
                ", ".join(f"{name} {entry.facts.get(name)}" for name in ENVIRONMENT): entry
                for entry in entries
                if entry.config.train.device == device
            }
            _refuse_two("environment", machines)


def merit(metric: Metric, value: float) -> float:
    """The metric's value on a scale where larger is better, and a difference has a meaning."""
    scaled = (math.log(value) if value > 0 else -math.inf) if metric in RELATIVE else value
    return scaled if metric in LARGER_IS_BETTER else -scaled


def say_gain(metric: Metric, gain: float) -> str:
    """A difference of merits in the metric's own terms: `+0.0123`, or `+5.1%` faster."""
    if metric not in RELATIVE:
        return f"{gain:+.4f}"
    return f"{math.expm1(gain):+.1%}" if gain < 700 else "+inf%"


def compare_entries(
    entries: Sequence[Entry], metric: Metric, rule: Rule
) -> dict[tuple[str, str], CellComparison]:
    """Every ordered pair of cells -> the one against the other, by their complete runs."""
    merits: dict[str, dict[int, float]] = {}
    for entry in entries:
        value = merit(metric, entry.summary[metric])
        merits.setdefault(entry.label, {})[entry.config.train.seed] = value
    return compare_cells(merits, rule)


@dataclass(frozen=True, kw_only=True)
class Standings:
    """The ranked cells of a ledger: its complete runs with lossless tokenizers."""

    entries: Sequence[Entry]
    """All of the ledger, whatever became of them."""

    metric: Metric
    rule: Rule = field(default_factory=Rule)

    @cached_property
    def ranked(self) -> list[Entry]:
        """Runs that count."""
        complete = (entry for entry in self.entries if entry.outcome is Outcome.COMPLETE)
        return [entry for entry in complete if entry.config.tokenizer.lossless]

    @cached_property
    def refusal(self) -> str | None:
        """Why the cells can't be ranked, if they can't."""
        try:
            refuse_unlike(self.ranked, self.metric)
        except ConfigError as error:
            return str(error)
        return None

    @cached_property
    def order(self) -> list[str]:
        """Cells, best mean first; as they were begun if they can't be ranked."""
        values: dict[str, list[float]] = {}
        for entry in self.ranked:
            value = merit(self.metric, entry.summary[self.metric])
            values.setdefault(entry.label, []).append(value)
        if self.refusal is not None:
            return list(values)
        return sorted(values, key=lambda cell: statistics.fmean(values[cell]), reverse=True)

    @cached_property
    def leads(self) -> dict[str, CellComparison]:
        """Each cell but the best -> the best against it; empty if they can't be ranked."""
        if self.refusal is not None or len(self.order) < 2:
            return {}
        comparisons = compare_entries(self.ranked, self.metric, self.rule)
        best, *rivals = self.order
        return {rival: comparisons[best, rival] for rival in rivals}

    @cached_property
    def verdicts(self) -> Mapping[str, Verdict]:
        """Cell -> what may be said of it: of the best against all others, of those against it.

        The best is better if it is better than every other; else it stands as against the first
        that it does not beat. Empty where nothing can be compared.
        """
        if not self.leads:
            return {}
        of_best = [lead.verdict for lead in self.leads.values()]
        unbeaten = [verdict for verdict in of_best if verdict is not Verdict.BETTER]
        best = unbeaten[0] if unbeaten else Verdict.BETTER
        rivals = {cell: lead.verdict.mirrored for cell, lead in self.leads.items()}
        return {self.order[0]: best, **rivals}

    @property
    def settled(self) -> bool:
        """Whether more seeds would tell no more: the best is best, or tied; or none is ranked."""
        return not self.leads or self.verdicts[self.order[0]] is not Verdict.UNDETERMINED


def _refuse_two(what: str, found: Mapping[str, Entry]) -> None:
    if len(found) > 1:
        (one, first), (other, second), *_ = found.items()
        raise ConfigError(
            f"compared runs must share one {what} but {_name(first)} has {one} and "
            f"{_name(second)} {other}"
        )


def _name(entry: Entry) -> str:
    return f"{entry.label} · seed {entry.config.train.seed}"
