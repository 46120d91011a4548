"""What do the parent process and its workers exchange? Tasks one way, messages the other."""

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
    """Where a worker finds texts, and where it caches what it makes from them."""

    cache: Path
    corpora_dir: Path | None


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Prepare the text of a config: train the tokenizer, encode and check the splits."""

    config: RunConfig
    folders: Folders


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A text is ready to train on: digests of its raw bytes and of its tokenizer."""

    corpus_digest: str
    tokenizer_digest: str
    size: TextSize | None = None
    """Its size in tokens."""


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train one run and leave its files in `folder`."""

    config: RunConfig
    folders: Folders
    folder: Path

    text: Prepared | None = None
    """The digests that its text must have; None: any."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Time a few steps of a config's shape, on a text of this size (`bench.run.step_timing`)."""

    config: RunConfig
    size: TextSize
    folders: Folders
    seconds: float
    """Approximate time for all steps together."""


Task = Prepare | Train | Measure


@dataclass(frozen=True, kw_only=True)
class Started:
    """A run begins; its config is settled for this text and machine."""

    config: RunConfig
    facts: dict[str, Any]
    """Tags of the run: digests, device, model size."""

    n_steps: int | None
    """Planned steps; None for a budget in seconds."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The last message of a task: its outcome."""

    outcome: Outcome
    reason: str = ""
    summary: dict[str, float] | None = None
    """Final numbers, for a run that has any."""

    error: GptBenchError | None = None
    """Set when the data or the machine is wrong, which affects other tasks too."""


Message = Prepared | Measured | Started | Point | Finished
Messages = Generator[Message, bool, Finished]
"""The messages of a task, one by one; each is answered with whether to go on."""
