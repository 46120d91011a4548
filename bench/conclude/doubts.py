"""Why is there no verdict yet? Sentences on undetermined cells, and on what it would take."""

import math
from collections.abc import Sequence

from bench.conclude.standings import Standings
from bench.conclude.stats import FEWEST_FREEDOM, LOOKS, Gain, Race, Verdict

MANY = 100
"""Nobody runs more seeds than that, so what needs more is not told more exactly."""

MOST_NAMED = 4
"""Names in one sentence."""


def say_open(standings: Standings) -> str:
    """Which cells are undetermined beside the leader, and what it would take."""
    race, new = standings.race, unseen(standings)
    rivals = [
        cell
        for cell, verdict in standings.verdicts.items()
        if verdict is Verdict.UNDETERMINED and cell in standings.leads and cell not in new
    ]
    if not rivals:
        return ""
    if race.noise is None or race.noise.freedom < FEWEST_FREEDOM:
        return say_too_few(race)
    behind = [cell for cell in rivals if is_ahead(standings.leads[cell])]
    close = [cell for cell in rivals if cell not in behind]
    said = [_say_open_of(standings, cells) for cells in (close, behind) if cells]
    if standings.is_hopeless:
        said.append(
            f"The race stopped: {LOOKS[-1]} seeds, the most that it runs, would hardly do."
        )
    return " ".join(said)


def _say_open_of(standings: Standings, cells: Sequence[str]) -> str:
    """The same of cells of which all are surely behind, or none is."""
    first, names = standings.leads[cells[0]], say_names(standings, cells)
    verb = "is" if len(cells) == 1 else "are"
    told = (
        f"{names} {verb} behind, though perhaps by less than matters"
        if is_ahead(first)
        else f"{names} can't be told from the leader"
    )
    needed = standings.race.seeds_needed(standings.order[0], cells[0])
    of_whom = f" for {standings.names[cells[0]]}" if len(cells) > 1 else ""
    takes = f"; to tell would take {say_seeds(needed)}{of_whom}" if needed is not None else ""
    return f"After {first.n} seed{'s' * (first.n != 1)}, {told}{takes}."


def is_ahead(gain: Gain) -> bool:
    """Whether the gain is surely one, be it smaller than what matters."""
    return gain.interval[0] > 0


def say_too_few(race: Race) -> str:
    """Why not even a large difference is told apart when there are hardly any runs."""
    enough = max(2, 1 + math.ceil(FEWEST_FREEDOM / max(1, len(race.merits) - 1)))
    return (
        "There are too few runs yet to tell a difference from luck, however large it looks: "
        f"{len(race.merits)} cells need at least {enough} seeds each."
    )


def say_seeds(needed: int) -> str:
    """How many seeds it would take: `about 9 seeds`."""
    return f"about {needed} seeds" if needed <= MANY else f"more than {MANY} seeds"


def say_unjudged(standings: Standings) -> str:
    """Which cells have runs that no look has seen, and why they are not judged by them."""
    if not standings.leads or not standings.looks:
        return ""
    n_seeds = max(look.n_seeds for look in standings.looks)
    if new := unseen(standings):
        return (
            f"Not judged yet: {say_names(standings, new)}, for the cells were last compared, at "
            f"{n_seeds} seed{'s' * (n_seeds != 1)} each, without. To compare again at as many "
            "would be another chance to be lucky: the next verdicts come with at least "
            f"{n_seeds + 1} seeds."
        )
    if standings.race.is_behind(standings.race.merits):
        return (
            f"The verdicts are those of {n_seeds} seeds; later runs count in the means alone "
            "until all cells in the race have more."
        )
    return ""


def unseen(standings: Standings) -> list[str]:
    """Ranked cells that are newer than the last look, if there was one."""
    seen = standings.looks[-1].runs if standings.looks else standings.race.merits
    return [cell for cell in standings.race.merits if cell not in seen]


def say_names(standings: Standings, cells: Sequence[str]) -> str:
    """The names of cells, as `listed` writes them."""
    return listed([standings.names[cell] for cell in cells])


def listed(names: Sequence[str]) -> str:
    """`a, b and c`; of many the first ones, and how many more."""
    if len(names) > MOST_NAMED:
        names = [*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1} more"]
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
