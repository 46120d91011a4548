"""How small must a study's budget be to end within a time? `--within 5min`, once chosen, is kept.

The budget becomes a setting like `--set bytes=210000`, so that the scaled study has a name and a
ledger of its own. Tomorrow's forecast would choose another one: the choice is kept beside the
ledgers, by study and time, and the same command goes on with it until `--fresh`.
"""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.ledger.paths import ledger_path
from bench.plan.forecast import Forecast
from bench.plan.plan import Plan, Request, make_plan
from bench.plan.runs import runs_of
from gpt.config import Budget
from gpt.config.run import field_name
from gpt.errors import ConfigError

ROOM = 1.15
"""The forecast must fit this many times, for it may be off."""

FEWEST_STEPS = 100
"""With fewer, whole steps make the budgets of two cells differ by more than the 1% by which runs
that are ranked together may differ."""


def fit(request: Request, seconds: float, *, keep: bool) -> tuple[Request, str]:
    """The request with a budget so small that its study ends in time; what was done, in words.

    A study that ends in time anyway keeps its budget.

    Args:
        keep: whether the choice is to be kept for the same command.

    Raises:
        ConfigError: the time is too short, or the budget isn't this option's to choose.
    """
    for key, value in request.overrides.items():
        if field_name(key) == "budget":
            raise ConfigError(
                f"--within chooses the budget, and so does --set {key}={value}: keep one of them"
            )
    if request.executor == "ray":
        raise ConfigError("--within forecasts this machine but got --executor ray: use --budget")
    plan = make_plan(request)
    file = _kept_file(plan, seconds)
    chosen = None if request.fresh else _read(file)
    words = f"Kept from before for --within {say_exactly(seconds)}"
    if chosen is None:
        chosen = _choose(request, plan, seconds)
        words = f"To end within {say_exactly(seconds)}"
        if keep:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(chosen), "utf-8")
    own = plan.grid.cells[0].config.train.budget
    if not chosen:
        return request, f"{words}: the study's own budget, {own}, is small enough."
    scaled = replace(request, overrides={**request.overrides, **chosen})
    budget = make_plan(scaled).grid.cells[0].config.train.budget
    return scaled, f"{words}: {budget} a run instead of the study's {own}."


def say_exactly(seconds: float) -> str:
    """As the option takes it: `90s`, `5min`, `1h`."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _choose(request: Request, plan: Plan, seconds: float) -> dict[str, str]:
    """The setting of the largest budget, to two digits, that ends in time; {}: the study's own."""
    from bench.plan.foresee import foresee_plan

    budgets = {cell.config.train.budget for cell in plan.grid.cells}
    if len(budgets) > 1:
        some = ", ".join(sorted(map(str, budgets)))
        raise ConfigError(f"--within scales one budget but the study varies it ({some})")
    [budget] = budgets
    forecast = foresee_plan(request, plan)
    if forecast is None or forecast.total(plan, runs_of(plan)) is None:
        raise ConfigError("--within needs a forecast but no cell of the study could be timed here")
    least = _two_digits(forecast.least_share(FEWEST_STEPS) * budget.amount, up=True)
    if _takes(plan, forecast, budget) <= seconds:
        return {}
    needed = _takes(plan, forecast, _of(budget, least))
    if least >= budget.amount or needed > seconds:
        raise ConfigError(
            f"--within must be at least {_up(needed)} for this study here, which leaves a run "
            f"{FEWEST_STEPS} steps, but got {say_exactly(seconds)}\n"
            "give it more time, fewer --seeds or evaluations, or fewer cells"
        )
    low, high = math.log(least), math.log(budget.amount)
    for _ in range(20):
        middle = (low + high) / 2
        fits = _takes(plan, forecast, _of(budget, math.exp(middle))) <= seconds
        low, high = (middle, high) if fits else (low, middle)
    chosen = _of(budget, max(least, _two_digits(math.exp(low))))
    return {chosen.unit: str(chosen.amount)}


def _takes(plan: Plan, forecast: Forecast, budget: Budget) -> float:
    """Seconds that the study must be given under a budget."""
    total = forecast.under(budget).total(plan, runs_of(plan))
    return math.inf if total is None else ROOM * total.expected


def _of(budget: Budget, amount: float) -> Budget:
    """Another amount in the same unit, of the type that it takes."""
    whole = budget.unit in ("steps", "tokens", "bytes")
    given: dict[str, Any] = {budget.unit: round(amount) if whole else float(amount)}
    return Budget(**given)


def _two_digits(amount: float, *, up: bool = False) -> float:
    digit = 10.0 ** (math.floor(math.log10(amount)) - 1)
    return (math.ceil if up else math.floor)(amount / digit) * digit


def _up(seconds: float) -> str:
    """A time that is enough, as the option takes it."""
    size = 60 if seconds > 300 else 5
    return say_exactly(size * math.ceil(seconds / size))


def _kept_file(plan: Plan, seconds: float) -> Path:
    return ledger_path(plan.ledger_name).with_suffix(f".within-{say_exactly(seconds)}.json")


def _read(file: Path) -> Mapping[str, str] | None:
    """The choice that was kept, if it was."""
    with suppress(OSError, ValueError, AttributeError):
        return {
            str(unit): str(amount) for unit, amount in json.loads(file.read_text("utf-8")).items()
        }
    return None
