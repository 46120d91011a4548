"""The pictures of a study's report: each is a function of the story.

It returns None where it would say nothing.
"""

from bench.report.figures.cost import cost
from bench.report.figures.curves import curves
from bench.report.figures.heat_map import heat_map
from bench.report.figures.leaderboard import leaderboard
from bench.report.figures.machines import machines
from bench.report.figures.parallel import parallel
from bench.report.figures.race import race
from bench.report.figures.search import importance, slices

__all__ = [
    "cost",
    "curves",
    "heat_map",
    "importance",
    "leaderboard",
    "machines",
    "parallel",
    "race",
    "slices",
]
