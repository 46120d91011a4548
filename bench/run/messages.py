"""What do a launch and its workers say to each other? A task one way, messages the other."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.ledger.outcome import Outcome
from bench.run.cost import Measured, TextSize
from gpt.config import RunConfig
from gpt.errors import GptBenchError
from gpt.training.loop import Point


@dataclass(frozen=True, kw_only=True)
class Folders:
    """Where a worker finds texts, and where it keeps what it makes of them."""

    cache: Path
    corpora_dir: Path | None


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Make the text of a config ready: tokenizer trained, splits encoded and checked."""

    config: RunConfig
    folders: Folders


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A text is ready to train on: what it is, by SHA-256 of its raw bytes and by tokenizer."""

    corpus_digest: str
    tokenizer_digest: str
    size: TextSize | None = None
    """What it came to."""


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train one run and leave its files in `folder`."""

    config: RunConfig
    folders: Folders
    folder: Path

    text: Prepared | None = None
    """What its text must be, wherever the run finds it; None: whatever it is."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Time a few steps of a config's shape, on a text of this size (`bench.run.step_timing`)."""

    config: RunConfig
    size: TextSize
    folders: Folders
    seconds: float
    """What the steps may take together, about."""


Task = Prepare | Train | Measure


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run begins; what of its config was settled by text and machine."""

    config: RunConfig
    facts: dict[str, Any]
    """Tags of the run: digests, device, model size."""

    n_steps: int | None
    """Planned steps; None where the budget is time."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The last message of a task: what became of it."""

    outcome: Outcome
    reason: str = ""
    summary: dict[str, float] | None = None
    """Final numbers, for a run that has any."""

    error: GptBenchError | None = None
    """Set when the fault is not this task's alone: the data or the machine is wrong."""


Message = Prepared | Measured | Started | Point | Finished
Messages = Generator[Message, bool, Finished]
"""What a task says, a message at a time; each is answered with whether to go on."""
