"""What is said of a plan and of its cells, where their runs are shown.

It needs no MLflow: whether a finished study would say anything else now is asked without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Words:
    """Cells go by their keys."""

    answer: str = ""
    """The plan's, for the tag `result` of the launch."""

    names: Mapping[str, str] = field(default_factory=dict)
    """For the tag `cell` of a cell's runs: a changed grid may name a cell differently."""

    verdicts: Mapping[str, str] = field(default_factory=dict)
    """For the tag `verdict` of a cell's runs."""

    results: Mapping[str, str] = field(default_factory=dict)
    """What came of each cell, for the tag `result` of its runs."""
