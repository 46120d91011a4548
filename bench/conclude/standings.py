"""Who leads, and is that shown? The runs of a ledger, made into comparisons between cells.

Cells go by their keys; labels are for people. Runs that may not be compared are refused here,
whoever asks: a rank is a claim. Outside stand lossy tokenizers, for they threw text away, and
cells of which a run diverged, for the runs that are left are those that happened to survive.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bench.conclude.budgets import require_equal_budgets
from bench.conclude.stats import Gain, Look, Race, Rule, Verdict, share_of_look
from bench.ledger.ledger import Entry
from bench.ledger.outcome import Outcome
from bench.metrics import RELATIVE, Metric, merit
from gpt.config import RunConfig
from gpt.errors import ConfigError

ENVIRONMENT = ("device_name", "threads", "runs_side_by_side", "environment")
"""Facts that runs on one device must share for their times to be compared."""

RULED_OUT = (Outcome.DIVERGED, Outcome.UNSOUND)
"""Outcomes of one run that take its cell out of the ranking."""


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
        require_equal_budgets([(_name(entry), entry.summary) for entry in entries], *units)
    if metric in RELATIVE:
        for device in {entry.config.train.device for entry in entries}:
            machines = {
                ", ".join(f"{name} {entry.facts.get(name)}" for name in ENVIRONMENT): entry
                for entry in entries
                if entry.config.train.device == device
            }
            _refuse_two("environment", machines)


def merits_of(entries: Iterable[Entry], metric: Metric) -> dict[str, dict[int, float]]:
    """Cell -> seed -> what its complete run is worth, larger is better."""
    merits: dict[str, dict[int, float]] = {}
    for entry in entries:
        value = merit(metric, entry.summary[metric])
        merits.setdefault(entry.cell, {})[entry.config.train.seed] = value
    return merits


def names_of(entries: Iterable[Entry]) -> dict[str, str]:
    """Cell -> its label, with its key where another cell has the same one."""
    labels = {entry.cell: entry.label for entry in entries}
    n_cells = Counter(labels.values())
    return {
        cell: label if n_cells[label] == 1 else f"{label} {cell}" for cell, label in labels.items()
    }


def flaws_of(entries: Iterable[Entry]) -> dict[str, str]:
    """Cell -> what rules it out, whatever its other runs say: `diverged in 3 of 8 seeds`."""
    outcomes: dict[str, Counter[Outcome]] = {}
    for entry in entries:
        if entry.outcome.settled:
            outcomes.setdefault(entry.cell, Counter())[entry.outcome] += 1
    return {
        cell: f"{outcome} in {counts[outcome]} of {counts.total()} seeds"
        for cell, counts in outcomes.items()
        for outcome in RULED_OUT
        if counts[outcome]
    }


@dataclass(frozen=True, kw_only=True)
class Standings:
    """The ranked cells of a ledger: those with lossless tokenizers of which no run diverged."""

    entries: Sequence[Entry]
    """All of the ledger, whatever became of them."""

    metric: Metric
    rule: Rule

    looks: Sequence[Look] = ()
    """The looks at these runs and at those before them, see `bench.conclude.looks`."""

    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Cell of a grid -> parameter -> value; empty where a search drew them, or for old ledgers."""

    @cached_property
    def names(self) -> dict[str, str]:
        """Cell -> how it is called."""
        return names_of(self.entries)

    @cached_property
    def flaws(self) -> dict[str, str]:
        """Cell -> what rules it out."""
        return self._unreached | flaws_of(self.entries)

    @cached_property
    def _unreached(self) -> dict[str, str]:
        """Cell -> in how many seeds it has no finite value, such as the time to a loss."""
        n_without = {cell: sum(map(math.isinf, found)) for cell, found in self.values.items()}
        return {
            cell: f"did not reach the target in {n} of {len(self.values[cell])} seeds"
            for cell, n in n_without.items()
            if n
        }

    @cached_property
    def complete(self) -> list[Entry]:
        """Runs that have numbers."""
        return [entry for entry in self.entries if entry.outcome is Outcome.COMPLETE]

    @cached_property
    def values(self) -> dict[str, list[float]]:
        """Cell -> the metric's value in each of its complete runs."""
        values: dict[str, list[float]] = {}
        for entry in self.complete:
            values.setdefault(entry.cell, []).append(entry.summary[self.metric])
        return values

    @cached_property
    def ranked(self) -> list[Entry]:
        """Runs that count."""
        lossless = (entry for entry in self.complete if entry.config.tokenizer.lossless)
        return [entry for entry in lossless if entry.cell not in self.flaws]

    @cached_property
    def refusal(self) -> str | None:
        """Why the cells can't be ranked, if they can't."""
        try:
            refuse_unlike(self.ranked, self.metric)
        except ConfigError as error:
            return str(error)
        return None

    @cached_property
    def merits(self) -> dict[str, dict[int, float]]:
        """Cell that counts -> seed -> what its run is worth."""
        return merits_of(self.ranked, self.metric)

    @cached_property
    def race(self) -> Race:
        """The ranked cells at the looks; of no cells where they can't be ranked."""
        return Race({} if self.refusal else self.merits, self.looks, self.rule)

    @cached_property
    def order(self) -> list[str]:
        """Cells that count, best first; as they were begun if they can't be ranked."""
        return self.race.order or list(self.merits)

    @cached_property
    def leads(self) -> dict[str, Gain]:
        """Each cell but the leader -> how far it is behind; empty if they can't be ranked."""
        return {rival: self.race.behind(rival) for rival in self.race.order[1:]}

    @property
    def verdicts(self) -> Mapping[str, Verdict]:
        """Cell -> what may be said of it; empty where nothing can be compared."""
        return self.race.verdicts

    @cached_property
    def words(self) -> Mapping[str, str]:
        """Cell -> its verdict, or why it has none: what is recorded of it. Empty for one alone."""
        if len(self.names) < 2 and not self.flaws:
            return {}
        said = {cell: self._say(cell, verdict) for cell, verdict in self.verdicts.items()}
        return {cell: said.get(cell, self.flaws.get(cell, "not ranked")) for cell in self.names}

    def _say(self, cell: str, verdict: Verdict) -> str:
        n_seeds = len(self.merits[cell])
        if cell not in self.race.dropped or n_seeds == max(map(len, self.merits.values())):
            return str(verdict)
        return f"{verdict}, dropped after {n_seeds} seed{'s' * (n_seeds != 1)}"

    def look_due(self, n_seeds: int) -> Look | None:
        """The look at so many seeds of each cell in the race; None where there was one."""
        looked = any(look.n_seeds >= n_seeds for look in self.looks)
        if looked or len(self.merits) < 2 or self.refusal is not None:
            return None
        runs = {cell: sorted(found) for cell, found in self.merits.items()}
        share = share_of_look(n_seeds, [look.share for look in self.looks])
        return Look(n_seeds=n_seeds, share=share, runs=runs) if share else None

    @property
    def settled(self) -> bool:
        """Whether the best is best, or tied; or none is ranked."""
        return self.race.settled

    @property
    def is_hopeless(self) -> bool:
        """Whether seeds up to the cap of a race would not tell."""
        return self.race.is_hopeless()


def _refuse_two(what: str, found: Mapping[str, Entry]) -> None:
    if len(found) > 1:
        (one, first), (other, second), *_ = found.items()
        raise ConfigError(
            f"compared runs must share one {what} but {_name(first)} has {one} and "
            f"{_name(second)} {other}"
        )


def _name(entry: Entry) -> str:
    return f"{entry.label} · seed {entry.config.train.seed}"
