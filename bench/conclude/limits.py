"""Where does an answer end? What else may explain a lead, and where nothing was tried.

Each function returns one remark, or "" where there is nothing to remark.
"""

from bench.conclude.doubts import say_names
from bench.conclude.standings import Standings
from bench.conclude.summary import summarize
from bench.metrics import RELATIVE, say_count

ALIKE = 1.05
"""Costs within this ratio are not worth a remark."""

FEWEST_VALUES = 3
"""Of a number with fewer values everybody sees that one is at an end."""

SPOKEN = {"bytes": "bytes of {} a run", "flops": "FLOP a run on {}"}
"""Unit of a budget -> how it is said; others as `300 steps a run on shakespeare`."""


def say_sizes(standings: Standings) -> str:
    """Which cells may be behind because of their models' sizes; of speeds, because of larger ones.

    Cells whose models are as large as the leader's, or differ the other way, are named apart, for
    their gaps have another reason.
    """
    if not standings.leads:
        return ""
    n_params = summarize(standings).set_index("key").n_params
    best, *rivals = standings.order
    kind = "larger" if standings.metric in RELATIVE else "smaller"
    ratios = {cell: n_params[best] / n_params[cell] for cell in rivals}
    if kind == "larger":
        ratios = {cell: 1 / ratio for cell, ratio in ratios.items()}
    other = [cell for cell, ratio in ratios.items() if ratio > ALIKE]
    if not other:
        return ""
    sizes_of = n_params[other]
    ends = dict.fromkeys(map(say_count, (sizes_of.min(), sizes_of.max())))
    sizes = f"{' to '.join(ends)} against {say_count(n_params[best])} parameters"
    rest = [cell for cell in rivals if cell not in other]
    if not rest:
        return f"All others are {kind} models ({sizes}): part of the lead may come from size."
    verb = "is" if len(rest) == 1 else "are"
    return (
        f"{say_names(standings, rest)} {verb} not {kind} than {standings.names[best]}; the gaps "
        f"to the {kind} models ({sizes}) may partly come from size."
    )


def say_edges(standings: Standings) -> str:
    """Which of the leader's numbers are the largest or the smallest that were compared."""
    if not standings.leads:
        return ""
    said = []
    for name, value in standings.params.get(standings.order[0], {}).items():
        found = (standings.params.get(cell, {}).get(name) for cell in standings.order)
        values = [each for each in found if each is not None]
        numbers = all(type(each) in (int, float) for each in values)
        if not numbers or len({*values}) < FEWEST_VALUES:
            continue
        if value == max(values):
            said.append(f"{value:g} is the largest {name} compared: a larger one may be better.")
        elif value == min(values) and value > (1 if isinstance(value, int) else 0):
            said.append(f"{value:g} is the smallest {name} compared: a smaller one may be better.")
    return " ".join(said)


def say_scope(standings: Standings) -> str:
    """For which text, how much of it, and which sizes of models an order of quality was found."""
    if not standings.leads or standings.metric in RELATIVE:
        return ""
    texts = dict.fromkeys(
        str(e.facts.get("corpus", e.config.corpus.name)) for e in standings.ranked
    )
    budgets = dict.fromkeys(entry.config.train.budget for entry in standings.ranked)
    amounts = [
        f"{budget.amount:,g} "
        + SPOKEN.get(budget.unit, f"{budget.unit} a run on {{}}").format(" and ".join(texts))
        for budget in budgets
    ]
    most = say_count(summarize(standings).set_index("key").n_params[standings.order].max())
    return (
        f"This holds for {' and '.join(amounts)} and models of at most {most} parameters: with "
        "more text or larger models the order may be another."
    )
