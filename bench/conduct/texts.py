"""When are a study's texts made, and by whom? By the workers, beside the first runs.

Training a tokenizer takes seconds, and most runs need another one. So a study waits for one text
of each corpus alone: that says which text it is, and whether it can be used at all. The others are
made while runs whose text is there train.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bench.conduct.progress import Progress
from bench.ledger.outcome import Outcome
from bench.run.cost import text_key
from bench.run.executor import Died, Event, Executor
from bench.run.messages import Finished, Folders, Prepare, Prepared
from bench.system.interruption import Interruption, Stopped
from gpt.config import SUBWORD, RunConfig
from gpt.errors import DataError

POLL_SECONDS = 0.2


@dataclass(kw_only=True)
class Texts:
    """What is known of each text of a study, and which are still to be made."""

    ready: dict[str, Prepared] = field(default_factory=dict)
    """By `text_key`."""

    infeasible: dict[str, str] = field(default_factory=dict)
    """Text key -> why the text can't be had."""

    corpora: dict[str, str] = field(default_factory=dict)
    """Corpus, by its name in the config -> SHA-256 of its raw bytes."""

    waiting: dict[str, RunConfig] = field(default_factory=dict)
    """Text key -> a run's config: texts that nobody has begun."""

    making: dict[str, RunConfig] = field(default_factory=dict)
    """The same of those that a worker is at."""

    when_made: list[Callable[[], None]] = field(default_factory=list)
    """Called when one is made, or known to be infeasible."""

    def unknown_corpora(self) -> dict[str, RunConfig | None]:
        """Name of each corpus of which no text is ready, but may come to be -> a config whose text
        would tell; None: a worker is at one."""
        begun: dict[str, RunConfig | None] = {c.corpus.name: None for c in self.making.values()}
        next_ones = {config.corpus.name: config for config in reversed(self.waiting.values())}
        return {n: c for n, c in {**next_ones, **begun}.items() if n not in self.corpora}

    def awaited(self, config: RunConfig) -> bool:
        """Whether a run must wait for its text; a search may meet one that isn't made here."""
        return text_key(config) in self.waiting or text_key(config) in self.making

    def begin(self, executor: Executor, folders: Folders, first: RunConfig | None = None) -> bool:
        """Have a worker make a text, that of `first` if it has not been begun; False: all are."""
        if not self.waiting:
            return False
        key = text_key(first) if first is not None else ""
        key = key if key in self.waiting else next(iter(self.waiting))
        self.making[key] = self.waiting.pop(key)
        executor.submit(key, Prepare(config=self.making[key], folders=folders))
        return True

    def handle(self, key: str, event: Event) -> None:
        """Take in what a worker says of a text.

        Raises:
            DataError, MachineError: the text can't be used by any cell.
        """
        config = self.making[key]
        if isinstance(event, Prepared):
            self.ready[key] = event
            self.corpora[config.corpus.name] = event.corpus_digest
        elif isinstance(event, Died):
            kind = config.tokenizer.kind
            raise DataError(f"making the {kind} tokenizer failed: {event.reason}")
        elif isinstance(event, Finished):
            if event.error is not None:
                raise event.error
            if event.outcome is Outcome.INFEASIBLE:
                self.infeasible[key] = event.reason
            elif event.outcome is Outcome.FAILED:
                raise RuntimeError(event.reason)
            del self.making[key]
            for do in self.when_made:
                do()


def prepare_texts(
    configs: Iterable[RunConfig],
    executor: Executor,
    folders: Folders,
    progress: Progress,
    interruption: Interruption,
) -> Texts:
    """Have the workers make one text of each corpus; the others find the corpus in the cache.

    Each tokenizer is trained once and each text encoded once. SentencePiece may end its process on
    odd text; there it takes a worker along, not the study.

    Raises:
        DataError, MachineError: a text can't be used by any cell.
        Stopped: a signal says stop; there is nothing yet to finish off.
    """
    wanted: dict[str, RunConfig] = {}
    for config in sorted(configs, key=lambda c: c.model.context_bytes or c.model.block_size):
        wanted[text_key(config)] = config  # the longest block is kept: it needs the longest text
    untrained_first = sorted(wanted.items(), key=lambda item: item[1].tokenizer.kind in SUBWORD)
    texts = Texts(waiting=dict(untrained_first), when_made=[progress.text_made])
    with progress.preparing(len(wanted)):
        while (unknown := texts.unknown_corpora()) or texts.making:  # then no worker is at work
            for first in unknown.values():
                if first is not None:
                    texts.begin(executor, folders, first=first)
            if interruption.requested:
                raise Stopped(interruption.exit_code, "Stopped before anything was trained.")
            for key, event in executor.events(POLL_SECONDS):
                texts.handle(key, event)
    return texts
