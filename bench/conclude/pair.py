"""Is one cell better than another, by what was recorded?

With a second study, or a ledger that `--fresh` set aside, one cell can be compared with itself
before a change of the code.

Within one study the verdict is the leaderboard's: corrected over all pairs of its cells, for
nobody picks two cells without having looked, and at the level of the board. Ledgers are read,
never written.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from rich.console import Group, RenderableType
from rich.text import Text

from bench.conclude.doubts import is_ahead, say_seeds, say_too_few
from bench.conclude.looks import as_looks, rule_of
from bench.conclude.remarks import say_evidence, say_interval, say_level
from bench.conclude.standings import RULED_OUT, flaws_of, merits_of, names_of, refuse_unlike
from bench.conclude.stats import Gain, Look, Race, Rule, Verdict, share_of_next
from bench.ledger.entries import Entry, Reading
from bench.ledger.ledger import Ledger
from bench.ledger.outcome import Outcome
from bench.ledger.paths import find_ledger, ledger_names
from bench.metrics import TITLES, Metric, merit, say_gain, say_size
from bench.system.fitted_table import Fitted
from gpt.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two cells."""

    cell: str
    name: str
    """Unlike that of the other."""

    runs: list[Entry]
    """All of the cell, in the order of their seeds, complete or not."""

    @property
    def complete(self) -> list[Entry]:
        """Those that have numbers."""
        return [run for run in self.runs if run.outcome is Outcome.COMPLETE]

    @property
    def flaw(self) -> str:
        """What rules the cell out; "" if nothing does."""
        return flaws_of(self.runs).get(self.cell, "")


def compare(
    study: str,
    against: str | None,
    cells: tuple[str, str],
    metric: Metric,
    *,
    alpha: float,
    matters: float | None = None,
) -> RenderableType:
    """The two cells seed by seed, and what may be said of them.

    Args:
        study: its name, or the path of its ledger.
        against: another, to which the second cell belongs.
        cells: their labels or keys.
        alpha: chance of any false difference, at all looks at the study together.
        matters: smallest difference that matters, as a share; None: the metric's own.

    Raises:
        ConfigError: there is no such ledger or cell, or the two can't be compared.
        MachineError: a ledger can't be read.
    """
    rule = rule_of(metric, matters, alpha)
    study, against = _named(study), against and _named(against)
    first = (_finals_of(study, cells) if against is None else None) or _read(study)
    second = first if against is None or _path(against) == _path(study) else _read(against)
    one, other = _side(cells[0], first, metric), _side(cells[1], second, metric)
    if first is second and one.cell == other.cell:
        raise ConfigError(
            f"a cell can't be compared with itself but both are {one.name!r} of {study}; "
            "--against takes the second from another ledger"
        )
    if first is not second:
        one, other = (_renamed(side, i) for i, side in enumerate((one, other), start=1))
    refuse_unlike([*one.complete, *other.complete], metric)
    flaws = "; ".join(f"{side.name} {side.flaw}" for side in (one, other) if side.flaw)
    if flaws:
        said = f"{flaws}: such a cell is not better than another, whatever its other runs say."
        return Group(_table(one, other, metric), Text(said))
    if first is second:
        race = _race_within(first, one, other, metric, rule)
        keys = (one.cell, other.cell)
    else:
        race, keys = _race_between(one, other, metric, rule), ("1", "2")
    ahead, behind = (one, other), keys
    if race.gain(*keys).mean < 0:
        ahead, behind = ahead[::-1], behind[::-1]
    gain = race.gain(*behind)
    remarks = say_evidence(metric, race)
    if gain.verdict is Verdict.UNDETERMINED:
        remarks.insert(0, _say_needed(metric, race, behind))
    if race.noise is not None and race.is_behind(keys):
        remarks.append(
            "Some of these runs have not been judged at a look of the race yet: the verdict is "
            "that of the looks before."
        )
    if metric == "tokens_per_second":
        remarks.append("Whole runs, not taken in turn: a drift may remain.")
    return Group(
        _table(one, other, metric),
        Text(_say(*ahead, metric, gain, alpha)),
        *(Text(remark, style="dim") for remark in remarks),
    )


def _race_within(ledger: Reading, one: Side, other: Side, metric: Metric, rule: Rule) -> Race:
    """The race of the study, of which the two are cells: nobody picks two without looking."""
    merits = merits_of(_family(ledger.entries, one, other, metric), metric)
    return Race(merits, as_looks(ledger.looks), rule)


def _race_between(one: Side, other: Side, metric: Metric, rule: Rule) -> Race:
    """A race of two cells of unlike studies, looked at once."""
    merits = {
        key: merits_of(side.complete, metric)[side.cell]
        for key, side in zip("12", (one, other), strict=True)
    }
    n_seeds = max(len(merits["1"].keys() & merits["2"].keys()), 1)
    look = Look(
        n_seeds=n_seeds,
        share=share_of_next(n_seeds),
        runs={key: sorted(runs) for key, runs in merits.items()},
    )
    return Race(merits, [look], rule)


def _say_needed(metric: Metric, race: Race, pair: tuple[str, str]) -> str:
    """What it would take to tell two cells apart, and what as many seeds would have shown."""
    gain, needed = race.gain(*pair), race.seeds_needed(*pair)
    if gain.n == 0:
        return "They have no seed in common, and runs are compared seed by seed."
    if needed is None:
        return say_too_few(race)
    shown = ""
    if math.isfinite(gain.detectable):
        size = say_size(metric, gain.detectable)
        shown = f" So many mostly show a difference of {size}, not a smaller one."
    told = "they can't be told apart"
    if is_ahead(gain):
        told = "they differ, though perhaps by less than matters"
    seeds = f"{gain.n} paired seed{'s' * (gain.n != 1)}"
    return f"With {seeds} {told}; to tell would take {say_seeds(needed)}.{shown}"


def _named(study: str) -> str:
    """The path of a study's file works like its name."""
    return Path(study).stem if study.endswith(".py") else study


def _finals_of(study: str, cells: tuple[str, str]) -> Reading | None:
    """What the ledger of a search's finals says, if both cells were in them."""
    if f"{study}.finals" not in ledger_names():
        return None
    finals = _read(f"{study}.finals")
    known = names_of(finals.entries)
    return finals if {*cells} <= {*known, *known.values()} else None


def _path(study: str) -> Path:
    return find_ledger(study).absolute()


def _read(study: str) -> Reading:
    """What the ledger of a study says, by name or by path; raises as `find_ledger`."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return Ledger.read(find_ledger(study))


def _side(wanted: str, ledger: Reading, metric: Metric) -> Side:
    names = names_of(ledger.entries)
    complete = [entry for entry in ledger.entries if entry.outcome is Outcome.COMPLETE]
    known = {entry.cell: names[entry.cell] for entry in complete}
    found = [cell for cell, name in known.items() if wanted in (cell, name)]
    if not found:
        listed = ", ".join(map(repr, known.values())) or "none"
        raise ConfigError(f"a cell must have a complete run but got {wanted!r}; known: {listed}")
    cell = found[0]
    if any(metric not in entry.summary for entry in complete if entry.cell == cell):
        raise ConfigError(f"the runs of {known[cell]!r} have no {metric}")
    runs = [entry for entry in ledger.entries if entry.cell == cell]
    runs.sort(key=lambda run: run.config.train.seed)
    return Side(cell=cell, name=known[cell], runs=runs)


def _renamed(side: Side, number: int) -> Side:
    """The same with a name that a cell of another ledger can't have, for its runs too."""
    name = f"{side.name} ({number})"
    return replace(side, name=name, runs=[replace(run, label=name) for run in side.runs])


def _family(entries: Sequence[Entry], one: Side, other: Side, metric: Metric) -> list[Entry]:
    """The runs of the two, and of all that might have been compared with the one."""
    flaws = flaws_of(entries).keys() - {one.cell, other.cell}
    runs_of: dict[str, list[Entry]] = {}
    for entry in entries:
        counts = entry.outcome is Outcome.COMPLETE and metric in entry.summary
        if counts and entry.cell not in flaws:
            runs_of.setdefault(entry.cell, []).append(entry)
    family = []
    for runs in runs_of.values():
        try:
            refuse_unlike([*one.complete, *runs], metric)
        except ConfigError:
            continue
        family += runs
    return family


def _table(one: Side, other: Side, metric: Metric) -> Fitted:
    sides = [{run.config.train.seed: run for run in side.runs} for side in (one, other)]
    columns: dict[str, list[str]] = {"seed": [], one.name: [], other.name: [], "ahead by": []}
    for seed in sorted(sides[0].keys() | sides[1].keys()):
        pair = [side.get(seed) for side in sides]
        values = [
            run.summary[metric] if run is not None and run.outcome is Outcome.COMPLETE else None
            for run in pair
        ]
        gain = "—"
        if values[0] is not None and values[1] is not None:
            gain = say_gain(metric, merit(metric, values[0]) - merit(metric, values[1]))
        shown = [
            f"{value:,.4f}" if value is not None else _word(run)
            for value, run in zip(values, pair, strict=True)
        ]
        for column, content in zip(columns.values(), (str(seed), *shown, gain), strict=True):
            column.append(content)
    return Fitted(title=TITLES[metric], columns=columns, words=(one.name, other.name), spare=())


def _word(run: Entry | None) -> str:
    """What stands where there is no number."""
    return str(run.outcome) if run is not None and run.outcome in RULED_OUT else "—"


def _say(one: Side, other: Side, metric: Metric, gain: Gain, alpha: float) -> str:
    """By how much the one is ahead, which is the better by its mean."""
    verdict = {
        Verdict.BETTER: f"{one.name} is better",
        Verdict.WORSE: f"{other.name} is better",
        Verdict.TIE: "a tie",
        Verdict.UNDETERMINED: "undetermined",
    }[gain.verdict]
    level = f" ({say_level(alpha)} interval)" * math.isfinite(gain.margin)
    return f"{one.name} is ahead by {say_interval(metric, gain)}{level}: {verdict}."
