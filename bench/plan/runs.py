"""How many runs does a plan come to? Of a race that is known at its end, and guessed before."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from bench.ledger.entries import Entry
from bench.plan.plan import Plan, looks_of

SURVIVING = 0.5
"""Share of a race's cells that is still in it after a look, about."""


@dataclass(frozen=True, kw_only=True)
class Runs:
    """How many runs a study has."""

    fewest: int
    expected: int
    most: int
    n_confirming: tuple[int, int, int] = (0, 0, 0)
    """Those of them that measure the best again."""

    def after(self, n_done: int) -> "Runs":
        """Those that come after so many of them."""
        fewest, expected, most = (
            max(confirming, n - n_done)
            for n, confirming in zip(
                (self.fewest, self.expected, self.most), self.n_confirming, strict=True
            )
        )
        return replace(self, fewest=fewest, expected=expected, most=most)

    @property
    def exact(self) -> bool:
        """Whether that is known beforehand."""
        return self.fewest == self.most


def runs_of(plan: Plan) -> Runs:
    """Runs of a plan, those of a search's finals and those that confirm the best among them."""
    n_cells, looks = len(plan.grid.cells), plan.looks
    fewest, most = plan.n_runs, plan.n_runs * looks[-1] // looks[0]
    if plan.study.search is not None:
        n_cells, looks = _finals(plan)
        fewest, most = plan.n_runs + n_cells * looks[0], plan.n_runs + n_cells * looks[-1]
    again = (0, 0, 0)
    if _confirms(plan) and n_cells > 1:
        again = (looks[0], _usual_end(looks), looks[-1])
    return Runs(
        fewest=fewest + again[0],
        expected=plan.n_runs + runs_after(plan, plan.looks[0], n_cells),
        most=most + again[2],
        n_confirming=again,
    )


def count_done(plan: Plan, entries: Iterable[Entry]) -> int:
    """How many of a plan's runs, those of finals and confirmation aside, need not be run."""
    cells = {cell.key for cell in plan.grid.cells}
    seeds = range(plan.study.first_seed, plan.study.first_seed + plan.looks[-1])
    return sum(
        entry.outcome.settled
        and entry.config.train.seed in seeds
        and (plan.study.search is not None or entry.cell in cells)
        for entry in entries
    )


def runs_after(plan: Plan, n_seeds: int, n_in_race: int) -> int:
    """About how many runs come after a look: those of later looks, and what confirms the best.

    Args:
        n_seeds: of each cell at that look.
        n_in_race: cells that may get further seeds.
    """
    looks, runs, in_race = plan.looks, 0.0, float(n_in_race)
    if plan.study.search is not None:
        in_race, looks = _finals(plan)
        n_seeds, runs = looks[0], float(in_race * looks[0])
    for before, after in pairwise(look for look in looks if look >= n_seeds):
        in_race *= SURVIVING
        runs += in_race * (after - before) * (in_race >= 1)
    confirming = max(n_seeds, _usual_end(looks)) if _confirms(plan) and n_in_race > 1 else 0
    return round(runs) + confirming


def _finals(plan: Plan) -> tuple[int, tuple[int, ...]]:
    """How many of a search's points are raced again, and the looks of that race."""
    search = plan.study.search
    n_cells = min(search.n_finalists, search.n_trials) if search else 0
    looks = looks_of(replace(plan.study, search=None), n_cells)
    return (n_cells if n_cells > 1 else 0), looks


def _usual_end(looks: Sequence[int]) -> int:
    """Seeds after which a race mostly ends."""
    return looks[min(2, len(looks) - 1)]


def _confirms(plan: Plan) -> bool:
    """Whether the best is measured again on a test part."""
    corpora = (cell.config.corpus for cell in plan.grid.cells)
    on_test = any(corpus.test_fraction for corpus in corpora)
    return plan.study.metric == "val_bits_per_byte" and on_test
