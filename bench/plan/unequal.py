"""Will the cells be ranked at all? Said before hours are spent on runs of unlike budgets.

A run takes whole steps, so it spends a little more or less than its budget; if that is small, two
cells may differ by more than what a fair comparison allows.
"""

from collections.abc import Mapping, Sequence

from bench.cells.grid import Cell
from bench.conclude.budgets import TOLERANCE
from bench.run.cost import TextSize, block_size, flops_per_step, n_steps, text_key
from gpt.config import RunConfig


def say_unequal(cells: Sequence[Cell], sizes: Mapping[str, TextSize]) -> str:
    """A warning if the cells will spend too unlike amounts to be ranked; else "".

    Args:
        sizes: of the texts, by `text_key`; a cell whose text is not among them doesn't count.
    """
    units = {cell.config.train.budget.unit for cell in cells}
    known = [cell for cell in cells if text_key(cell.config) in sizes]
    if len(units) > 1 or units & {"seconds"} or len(known) < 2:
        return ""
    [unit] = units
    spent = {cell.label: planned(cell.config, sizes[text_key(cell.config)]) for cell in known}
    lean, rich = min(spent, key=lambda name: spent[name]), max(spent, key=lambda name: spent[name])
    if spent[rich] <= spent[lean] * (1 + TOLERANCE):
        return ""
    return (
        f"These runs can't be ranked: in whole steps {lean} will spend {spent[lean]:,.6g} {unit} "
        f"and {rich} {spent[rich]:,.6g}, and ranked cells must match within {TOLERANCE:.0%}. "
        "Give a larger budget."
    )


def planned(config: RunConfig, size: TextSize) -> float:
    """What a run spends of its budget's unit in whole steps, at least one."""
    tokens = config.train.batch_size * block_size(config, size)
    per_step = {
        "steps": 1.0,
        "tokens": tokens,
        "bytes": tokens * size.bytes_per_token,
        "flops": flops_per_step(config, size),
    }[config.train.budget.unit]
    return round(n_steps(config, size)) * per_step
