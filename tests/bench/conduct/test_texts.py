"""Texts are made beside the first runs: each once, and a run begins when its own is there."""

import io
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from ledgers import BASE, SUMMARY, Open
from rich.console import Console
from test_scheduler import POINT, Record

from bench.cells.grid import enumerate_grid
from bench.conduct.progress import Progress
from bench.conduct.scheduler import Scheduler
from bench.conduct.texts import Texts, prepare_texts
from bench.ledger.ledger import Ledger
from bench.ledger.outcome import Outcome
from bench.record.recorder import Recorder
from bench.run.executor import Died, Event, Executor
from bench.run.messages import Finished, Folders, Prepare, Prepared, Started, Task, Train
from bench.spec import Study, Trial, choose
from bench.system.interruption import Interruption
from gpt.config import CorpusConfig, RunConfig, TokenizerConfig
from gpt.errors import DataError, GptBenchError

VOCABULARIES = [300, 400, 500]


def cell(trial: Trial) -> RunConfig:
    kind = choose(trial, "tokenizer", ["bpe", "byte"])
    vocab_size = choose(trial, "vocab_size", VOCABULARIES) if kind == "bpe" else None
    return replace(BASE, tokenizer=TokenizerConfig(kind=kind, vocab_size=vocab_size))


GRID = Study(cell, seeds=1)
"""Three cells whose texts take long, then one whose text does not."""

CONFIGS = [point.config for point in enumerate_grid(GRID, {}).cells]
DONE = Finished(outcome=Outcome.COMPLETE)


def words(config: RunConfig) -> str:
    return str(config.tokenizer.vocab_size or config.tokenizer.kind)


class Workers:
    """Workers that take a poll for each message of a task; `story` is what they were given.

    Args:
        texts: what becomes of a text instead of being made, by its words.
        n_polls: that making a text takes, by its words.
    """

    devices = ("cpu",)

    def __init__(
        self,
        n_workers: int,
        texts: dict[str, Event] | None = None,
        n_polls: dict[str, int] | None = None,
    ) -> None:
        self.n_workers = n_workers
        self.story: list[str] = []
        self._texts, self._n_polls = texts or {}, n_polls or {}
        self._busy: dict[str, deque[Event | None]] = {}
        self.meanwhile: Callable[[], None] = lambda: None

    @property
    def n_free(self) -> int:
        return self.n_workers - len(self._busy)

    def submit(self, name: str, task: Task) -> None:
        assert self.n_free
        what = words(task.config)
        self.story.append(f"{'make' if isinstance(task, Prepare) else 'train'} {what}")
        if isinstance(task, Train):
            started = Started(config=task.config, facts={}, n_steps=1)
            end = Finished(outcome=Outcome.COMPLETE, summary=dict(SUMMARY))
            self._busy[name] = deque([started, POINT, end])
            return
        wait: list[Event | None] = [None] * self._n_polls.get(what, 0)
        prepared = Prepared(corpus_digest="c", tokenizer_digest=what)
        said = [self._texts[what]] if what in self._texts else [prepared, DONE]
        self._busy[name] = deque([*wait, *said])

    def events(self, _: float) -> Iterator[tuple[str, Event]]:
        self.meanwhile()
        for task in list(self._busy):
            event = self._busy[task].popleft()
            if not self._busy[task]:
                del self._busy[task]
                self.story.append("" if event is None else f"end {type(event).__name__}")
            if event is not None:
                yield task, event

    def stop(self, _: str) -> None:
        """Whoever is asked goes on to its end."""


def prepared_by(workers: Workers, folder: Path, *configs: RunConfig) -> Texts:
    with Interruption() as interruption:
        return prepare_texts(
            configs or CONFIGS,
            cast(Executor, workers),
            Folders(cache=folder, corpora_dir=None),
            Progress(Console(file=io.StringIO())),
            interruption,
        )


def scheduler(ledger: Ledger, workers: Workers, texts: Texts, folder: Path) -> Scheduler:
    return Scheduler(
        ledger=ledger,
        executor=cast(Executor, workers),
        recorder=cast(Recorder, Record()),
        progress=Progress(Console(file=io.StringIO())),
        metric="val_bits_per_byte",
        texts=texts,
        folders=Folders(cache=folder, corpora_dir=None),
        folder=folder,
    )


def launch(ledger: Ledger, workers: Workers, folder: Path) -> None:
    texts = prepared_by(workers, folder)
    with Interruption() as interruption:
        workers.meanwhile = lambda: None
        scheduler(ledger, workers, texts, folder).run(interruption)


def outcomes(ledger: Ledger) -> dict[str, Outcome]:
    return {words(entry.config): entry.outcome for entry in ledger.entries()}


def given(workers: Workers) -> list[str]:
    return [line for line in workers.story if line.startswith(("make", "train"))]


@pytest.mark.parametrize("n_workers", [1, 2, 3, 8])
@pytest.mark.parametrize("slow", [{}, {"300": 9}, {"500": 30}, dict.fromkeys("345", 2)])
def test_each_text_is_made_once_before_its_runs_and_each_run_trained_once(
    n_workers: int, slow: dict[str, int], open_ledger: Open, tmp_path: Path
) -> None:
    workers = Workers(n_workers, n_polls=slow)
    with open_ledger(GRID, seeds=1) as ledger:
        launch(ledger, workers, tmp_path)
        assert set(outcomes(ledger).values()) == {Outcome.COMPLETE}
    story = given(workers)

    assert sorted(story) == sorted(
        f"{what} {words(config)}" for what in ("make", "train") for config in CONFIGS
    )
    for config in CONFIGS:
        assert story.index(f"make {words(config)}") < story.index(f"train {words(config)}")


def test_a_run_trains_while_another_s_text_is_made(open_ledger: Open, tmp_path: Path) -> None:
    """The last text takes longer than all runs but its own."""
    workers = Workers(2, n_polls={"500": 30})
    with open_ledger(GRID, seeds=1) as ledger:
        launch(ledger, workers, tmp_path)
    story = workers.story
    made = story.index("make 500")

    assert story[0] == "make byte"  # no tokenizer is trained for it
    assert {"train 300", "train 400"} <= set(story[: story.index("train 500")])
    assert story.index("train 300") < story.index("end Finished", made + 1)


def test_a_study_waits_for_one_text_of_each_corpus_alone(tmp_path: Path) -> None:
    other = [config.replace(corpus=CorpusConfig(name="don_quixote")) for config in CONFIGS[:2]]
    workers = Workers(2, n_polls={"400": 50, "500": 50})
    texts = prepared_by(workers, tmp_path, *CONFIGS, *other)

    assert texts.corpora == {BASE.corpus.name: "c", "don_quixote": "c"}
    assert len(texts.ready) == 2
    assert len(texts.waiting) == 4
    assert texts.making == {}  # what comes next finds all workers free
    assert workers.n_free == 2


def test_where_the_first_text_can_t_be_had_another_one_tells_the_corpus(tmp_path: Path) -> None:
    too_large = Finished(outcome=Outcome.INFEASIBLE, reason="vocab_size must be at most 200")
    workers = Workers(1, {"300": too_large})
    texts = prepared_by(workers, tmp_path, *(c for c in CONFIGS if c.tokenizer.kind == "bpe"))

    assert texts.corpora == {BASE.corpus.name: "c"}
    assert list(texts.infeasible.values()) == ["vocab_size must be at most 200"]


def test_a_text_found_infeasible_beside_runs_makes_its_cell_so(
    open_ledger: Open, tmp_path: Path
) -> None:
    reason = "vocab_size of the bpe tokenizer must be at most 450"
    too_large = Finished(outcome=Outcome.INFEASIBLE, reason=reason)
    workers = Workers(2, {"500": too_large}, {"500": 9})
    with open_ledger(GRID, seeds=1) as ledger:
        launch(ledger, workers, tmp_path)
        [gap] = [e for e in ledger.entries() if e.outcome is not Outcome.COMPLETE]
    assert (words(gap.config), gap.outcome, gap.reason) == ("500", Outcome.INFEASIBLE, reason)
    assert "train 500" not in workers.story


REFUSED = DataError("a corpus must be UTF-8")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (Finished(outcome=Outcome.FAILED, reason=str(REFUSED), error=REFUSED), "must be UTF-8"),
        (Died("its process was killed by SIGABRT"), "making the .* tokenizer failed: its process"),
    ],
)
def test_fault_02_a_text_that_is_wrong_ends_the_study_whenever_it_is_found(
    said: Event, message: str, open_ledger: Open, tmp_path: Path
) -> None:
    """Of the corpus itself, before any run; of one tokenizer, with the other runs resumable."""
    with pytest.raises(GptBenchError, match=message):
        prepared_by(workers := Workers(2, {"byte": said}), tmp_path)
    assert not any(line.startswith("train") for line in workers.story)

    with open_ledger(GRID, seeds=1) as ledger, pytest.raises(GptBenchError, match=message):
        launch(ledger, Workers(2, {"500": said}, {"500": 4}), tmp_path)
    with open_ledger(GRID, seeds=1) as ledger:
        assert set(outcomes(ledger).values()) <= {Outcome.COMPLETE, Outcome.INTERRUPTED}
        launch(ledger, Workers(2), tmp_path)
        assert set(outcomes(ledger).values()) == {Outcome.COMPLETE}


def test_a_run_that_waits_for_its_text_is_interrupted_at_a_signal(
    open_ledger: Open, tmp_path: Path
) -> None:
    workers = Workers(2, n_polls={"300": 1000, "400": 1000, "500": 1000})
    texts = prepared_by(workers, tmp_path)
    with open_ledger(GRID, seeds=1) as ledger, Interruption() as interruption:
        n_polls = iter(range(100))

        def stop() -> None:
            if next(n_polls) == 20:
                interruption._count = 1

        workers.meanwhile = stop
        scheduler(ledger, workers, texts, tmp_path).run(interruption)
        assert set(outcomes(ledger).values()) <= {Outcome.INTERRUPTED, Outcome.COMPLETE}
        assert Outcome.INTERRUPTED in outcomes(ledger).values()
        assert next(n_polls) < 25
