"""A plan as a person reads it: cells, what each takes, and what all of it will take."""

from collections.abc import Sequence

from rich.console import Console

from bench.plan.forecast import Forecast
from bench.plan.plan import Plan
from bench.plan.runs import Runs, runs_of
from bench.run.cost import Cost
from bench.system.console import say_seconds


def show_plan(
    plan: Plan,
    console: Console,
    forecast: Forecast | None = None,
    *,
    lacking: Sequence[str] = (),
    finished: bool = False,
) -> None:
    """Print the cells of a plan, what was dropped from it, which texts it needs, and its cost.

    Args:
        forecast: what its runs take; None: nobody knows.
        lacking: what this machine lacks for it, in sentences.
        finished: whether nothing of it is left to run.
    """
    search = plan.study.search
    runs = runs_of(plan)
    title = f"{plan.title}: {_say_size(plan)}"
    costs = forecast.costs if forecast else [None] * len(plan.grid.cells)
    rows = [("cell", "budget", "a run", "memory", "key")]
    rows += [
        (cell.label, str(cell.config.train.budget), *_say_cost(cost), cell.key)
        for cell, cost in zip(plan.grid.cells, costs, strict=True)
    ]
    widths = [min(60, max(len(row[column]) for row in rows)) for column in range(4)]
    console.out(title)
    for row in rows:  # a table of rich takes a minute for what this takes seconds
        shown = (f"{text:<{width}}" for text, width in zip(row, [*widths, 0], strict=True))
        console.out("  ".join(shown))
    for point in plan.grid.dropped:
        console.print(f"dropped: {point.label}: {point.reason}", soft_wrap=True)
    if not search:
        for repeat, label in plan.grid.repeats.items():
            console.print(f"the same as {label}, so no further cell: {repeat}", soft_wrap=True)
    console.print(f"Text: {plan.grid.texts}.", soft_wrap=True)
    for sentence in lacking:
        console.print(sentence, soft_wrap=True)
    nothing_left = "Nothing is left to run: the same command without --plan shows the result."
    finished = finished or (forecast is not None and runs.after(forecast.n_done).most == 0)
    said = nothing_left if finished else say_total(plan, runs, forecast)
    console.print(said, soft_wrap=True)
    console.print(f"Kept in {plan.ledger_name}.journal.", soft_wrap=True)


def say_total(plan: Plan, runs: Runs, forecast: Forecast | None) -> str:
    """What is left to run takes, in a sentence, with how far that may be off."""
    n_done = forecast.n_done if forecast else 0
    left = runs.after(n_done)
    total = forecast.total(plan, left) if forecast else None
    if forecast is None or total is None:
        return "Time: not known for where it would run."
    again = left.n_confirming[1]
    confirming = f", {again} of them to confirm the best" if again else ""
    side_by_side = f"{forecast.n_workers} side by side" if forecast.n_workers > 1 else "one by one"
    what, done = ("in all", "")
    if n_done:
        what, done = "more", f" Done already: {n_done} run{'s' * (n_done != 1)}."
    return (
        f"Time: about {say_seconds(total.expected)} {what} on this machine "
        f"({say_seconds(total.low)} to {say_seconds(total.high)}), for {say_runs(left)} runs"
        f"{confirming}, {side_by_side}.{done}"
    )


def say_runs(runs: Runs) -> str:
    """Their number: `33`, or `about 32 (23 to 132)`."""
    if runs.exact:
        return str(runs.expected)
    return f"about {runs.expected} ({runs.fewest} to {runs.most})"


def _say_cost(cost: Cost | None) -> tuple[str, str]:
    if cost is None:
        return "—", "—"
    about = "" if cost.exact else "≈ "
    return f"{about}{say_seconds(cost.seconds)}", f"{cost.memory_bytes / 1e9:.2f} GB"


def _say_size(plan: Plan) -> str:
    """How many runs of what: `20 to 120 runs = 10 cells × 2 to 12 seeds`."""
    n_cells = len(plan.grid.cells)
    if plan.study.search:
        return f"{plan.n_runs} runs, searched; {n_cells} points of its space:"
    few, most = plan.looks[0], plan.looks[-1]
    seeds = f"{few} seed{'s' * (few != 1)}" if few == most else f"{few} to {most} seeds"
    runs = f"{n_cells * few}" + ("" if few == most else f" to {n_cells * most}")
    return f"{runs} runs = {n_cells} cell{'s' * (n_cells != 1)} × {seeds}"
