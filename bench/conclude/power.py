"""How often is the rule right, and what does that take? Races of made-up cells, thousands of them.

The race that is simulated is the one that studies run (`bench.conclude.stats`): the same looks,
the same intervals, and no further seed for a cell that another one beats.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.conclude.stats import LOOKS, Look, Race, Rule, Verdict, share_of_look

Tail = Literal["normal", "t4"]

SWEEP = (2.055, 2.128, 2.129, 2.146, 2.285, 2.298, 2.489, 2.498, 2.656, 2.657)
"""Bits per byte of the ten cells of `tokenizer_sweep`, three seeds each, on two cores."""

SD = 0.01
"""Of a seed there."""

ANYTHING = 1e-6
"""What matters where any difference does: the strictest case for false differences."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Cells whose true values are known."""

    name: str
    means: Sequence[float]
    """Of each cell; the lowest is the best."""

    sds: Sequence[float]
    """Standard deviation over seeds, of each cell."""

    tail: Tail = "normal"
    """Distribution of the noise: normal, or Student's t with four degrees of freedom."""

    missing: float = 0.0
    """Chance that a run fails."""

    matters: float = 0.005
    """Smallest difference that matters, as a share."""


def _all_alike(n_different: int = 0, sd: float = SD) -> list[float]:
    """The spreads of ten cells, of which the second (and so on) has this one."""
    return [SD] + [sd] * n_different + [SD] * (9 - n_different)


TRUTHS = (
    Truth(name="the gaps of tokenizer_sweep", means=SWEEP, sds=_all_alike()),
    Truth(name="runner-up 3 SD behind", means=(2.055, 2.085, *SWEEP[2:]), sds=_all_alike()),
    Truth(name="runner-up 1.5 SD behind", means=(2.055, 2.07, *SWEEP[2:]), sds=_all_alike()),
    Truth(name="a cell with 30 times the spread", means=SWEEP, sds=[*[SD] * 9, 30 * SD]),
    Truth(name="runner-up with 4 times the spread", means=SWEEP, sds=_all_alike(1, 4 * SD)),
    Truth(
        name="four within a quarter of what matters",
        means=(2.055, 2.056, 2.057, 2.0575, *SWEEP[4:]),
        sds=[SD / 4] * 10,
    ),
    Truth(name="all equal", means=[2.0] * 10, sds=_all_alike(), matters=ANYTHING),
    Truth(
        name="all equal, one with 4 times the spread",
        means=[2.0] * 10,
        sds=_all_alike(1, 4 * SD),
        matters=ANYTHING,
    ),
    Truth(
        name="all equal, spreads from 1 to 4",
        means=[2.0] * 10,
        sds=np.linspace(SD, 4 * SD, 10).tolist(),
        matters=ANYTHING,
    ),
    Truth(
        name="two equal at the top",
        means=(2.0, 2.0, *np.arange(2.1, 2.9, 0.1)),
        sds=_all_alike(),
        matters=ANYTHING,
    ),
    Truth(
        name="two equal at the top, one with 4 times the spread",
        means=(2.0, 2.0, *np.arange(2.1, 2.9, 0.1)),
        sds=_all_alike(1, 4 * SD),
        matters=ANYTHING,
    ),
    Truth(name="all equal, t4", means=[2.0] * 10, sds=_all_alike(), tail="t4", matters=ANYTHING),
    Truth(
        name="all equal, one run in ten fails",
        means=[2.0] * 10,
        sds=_all_alike(),
        missing=0.1,
        matters=ANYTHING,
    ),
)
"""Gaps to be found, ties, and then grids in which there is nothing to find."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What the rule does over many grids."""

    settled: float
    """Share of grids of which the best is named, and is the best."""

    false: float
    """Share of grids with any cell that is called better and is not, by more than matters."""

    tied: float
    """Share of grids that end in a tie."""

    n_runs: float
    """Mean number of runs."""

    most_runs: int
    """What every cell up to the cap would take."""


def operate(truth: Truth, n_grids: int, seed: int = 0) -> Operation:
    """Race the cells of a truth, again and again."""
    rng = np.random.default_rng(seed)
    means = np.asarray(truth.means)
    not_better = means[:, None] > means - truth.matters * means.min()
    best = str(int(means.argmin()))
    settled, false, tied, n_runs = 0, 0, 0, []
    for _ in range(n_grids):
        race = _race(truth, rng)
        leader = race.order[0]
        settled += leader == best and race.verdicts[leader] is Verdict.BETTER
        tied += race.verdicts[leader] is Verdict.TIE
        false += any(not_better[int(one), int(other)] for one, other in race.better_pairs())
        n_runs.append(sum(map(len, race.merits.values())))
    return Operation(
        settled=settled / n_grids,
        false=false / n_grids,
        tied=tied / n_grids,
        n_runs=statistics.fmean(n_runs),
        most_runs=len(means) * LOOKS[-1],
    )


def _race(truth: Truth, rng: np.random.Generator) -> Race:
    """One race to its end, with no run that it does not need."""
    values = _draw(truth, rng)
    left = [str(i) for i in range(len(values))]
    merits: dict[str, dict[int, float]] = {}
    looks: list[Look] = []
    for n_seeds in LOOKS:
        for cell in left:
            row = values[int(cell), :n_seeds]
            merits[cell] = {i: float(v) for i, v in enumerate(row) if np.isfinite(v)}
        runs = {cell: list(found) for cell, found in merits.items()}
        share = share_of_look(n_seeds, [look.share for look in looks])
        looks.append(Look(n_seeds=n_seeds, share=share, runs=runs))
        race = Race(merits, looks, Rule(matters=truth.matters))
        if race.settled or race.is_hopeless():
            break
        left = race.left
    return race


def _draw(truth: Truth, rng: np.random.Generator) -> NDArray[np.float64]:
    """(cells, seeds): what each run would be worth; NaN where it fails, but for the first seed."""
    shape = (len(truth.means), LOOKS[-1])
    noise = rng.standard_normal(shape)
    if truth.tail == "t4":
        noise = rng.standard_t(4, shape) / np.sqrt(2)  # of variance 1
    values = -(np.asarray(truth.means)[:, None] + noise * np.asarray(truth.sds)[:, None])
    failed = rng.random(shape) < truth.missing
    failed[:, 0] = False
    return np.where(failed, np.nan, values)
