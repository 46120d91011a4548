"""Which of a search's best points is really the best? A race of the few that came out first.

Each point of a search has one seed, and the best of many is best by luck too. So the first few
are run again, on seeds that the search did not use, as the cells of a grid.
"""

import dataclasses

from bench.cells.grid import Cell, Grid
from bench.conclude.standings import Standings
from bench.plan.plan import Plan, looks_of
from bench.spec import Study


def finals(plan: Plan, standings: Standings) -> Plan | None:
    """The plan of a search's best few, best first; None where fewer than two can be ranked."""
    search = plan.study.search
    best = standings.order[: search.n_finalists] if search else []
    if len(best) < 2 or standings.refusal is not None:
        return None
    first_seed = plan.study.first_seed
    configs = {
        entry.cell: entry.config.with_seed(0) for entry in standings.ranked if entry.cell in best
    }
    cells = [Cell(params={}, config=configs[cell], label=standings.names[cell]) for cell in best]
    study = Study(
        lambda trial: cells[0].config,  # noqa: ARG005
        metric=plan.study.metric,
        seeds=plan.study.seeds,
        matters=plan.study.matters,
        first_seed=first_seed + 1,
    )
    return dataclasses.replace(
        plan,
        part="finals",
        part_title=f"the best {len(best)} again",
        study=study,
        looks=looks_of(study, len(cells)),
        grid=Grid(cells=cells, dropped=[]),
    )
