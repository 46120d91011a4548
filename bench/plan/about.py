"""What is a study about? Kept in its ledger, so that it can be told without the study's file."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from bench.ledger.entries import Reading
from bench.metrics import Metric
from bench.plan.plan import Plan, Request

ABOUT_NOTE = "about"
"""The note of a study's ledger that says what the study is about."""

CONFIRMATION_NOTE = "confirmed"
"""The note of a confirmation's ledger that holds its sentence."""


@dataclass(frozen=True, kw_only=True)
class About:
    """A study as it was asked for."""

    title: str
    """For people: `tokenizer_sweep · corpus=song.txt`."""

    name: str
    question: str
    """The first paragraph of its docstring."""

    description: str
    """The rest of it."""

    metric: Metric
    matters: float | None
    """The smallest difference that matters, as a share; None: the metric's own."""

    command: str
    """What runs it again."""

    params: Mapping[str, Mapping[str, Any]]
    """Cell, by its key -> parameter -> value; empty for a search, whose trials have theirs."""

    looks: Sequence[int] = ()
    """Seeds of each cell in the race after which it is looked at: several make a race. None where
    an earlier version wrote this."""

    n_trials: int = 0
    """Of a search."""

    def to_note(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "looks": list(self.looks)}

    @classmethod
    def read(cls, ledger: Reading) -> Self | None:
        """What a study's ledger says; None if an earlier version wrote it."""
        note = ledger.noted(ABOUT_NOTE)
        return None if note is None else cls(**{**note, "looks": tuple(note.get("looks", ()))})


def about(request: Request, plan: Plan) -> About:
    """What a plan is about, in terms of what was typed."""
    question, _, description = plan.description.partition("\n\n")
    grid = plan.grid.cells if plan.study.search is None else []
    return About(
        title=plan.title,
        name=plan.name,
        question=" ".join(question.split()),
        description=description,
        metric=plan.study.metric,
        matters=plan.study.matters,
        command=command_of(request),
        params={cell.key: {name: _json(v) for name, v in cell.params.items()} for cell in grid},
        looks=plan.looks,
        n_trials=plan.study.search.n_trials if plan.study.search else 0,
    )


def command_of(request: Request) -> str:
    """The command that asks for the same runs, on any machine."""
    words = ["python", "-m", "bench.study"]
    words += [request.study] if request.study else ["--from-run", request.from_run or ""]
    for key, value in request.overrides.items():
        words += ["--corpus", value] if key == "corpus" else ["--set", f"{key}={value}"]
    if request.seeds is not None:
        words += ["--seeds", str(request.seeds)]
    if request.matters is not None:
        words += ["--matters", str(request.matters)]
    return shlex.join(words)


def _json(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
