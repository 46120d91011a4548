"""Is anything left to do? If not, a study's answer is shown from its ledger within two seconds.

A study is concluded here as it always is, but over a ledger that can't be written: where anything
is left to run, to record or to say anew, something would be written, and the long way is gone. So
nothing is imported that takes seconds, and no text is made ready; only its digest is compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.cells.grid import Cell
from bench.ledger.journal_file import FrozenError
from bench.ledger.ledger import Ledger
from bench.plan.plan import Plan, Request
from bench.system import provenance
from gpt.cache import default_cache
from gpt.corpora import load_corpus


class _NoInterruption:
    requested = False
    exit_code = 0


@dataclass(frozen=True, kw_only=True)
class FinishedRecord:
    """Stands for the record of a launch that has nothing to record."""

    views: dict[str, str]
    missing: tuple[str, ...] = ()

    def close(self, *_: object, **__: object) -> dict[str, str]:
        """Where the views are that were saved when it was recorded."""
        return self.views

    def attach_report(self, path: Path) -> dict[str, str]:  # noqa: ARG002
        """Nothing: the report was attached when the study was recorded."""
        return self.views


@dataclass(frozen=True, kw_only=True)
class FinishedWork:
    """A study of which nothing is left."""

    ledger: Ledger
    recorder: FinishedRecord
    idle: bool = True

    def run(self, cells: Sequence[Cell], seeds: Mapping[str, int], n_later: int) -> bool:  # noqa: ARG002
        """Raise `FrozenError` if anything is missing; else False."""
        self.ledger.enqueue(cells, seeds)
        if self.ledger.n_left():
            raise FrozenError
        return False


class FinishedSession:
    """Hands over ledgers of which nothing is left, and raises `FrozenError` at others."""

    interruption = _NoInterruption()

    def __init__(self, request: Request, plan: Plan) -> None:
        self._digests = {
            config.corpus.name: load_corpus(
                config.corpus, corpora_dir=request.corpora_dir, cache=default_cache()
            ).digest
            for config in {cell.config.corpus: cell.config for cell in plan.grid.cells}.values()
        }

    def report(self) -> str:
        """Nothing ran."""
        return ""

    @contextmanager
    def work_on(self, plan: Plan, *, fresh: bool) -> Iterator[FinishedWork]:
        """Open a plan's ledger, if all of it is recorded."""
        if fresh or not plan.journal.is_file() or plan.unsent.exists():
            raise FrozenError
        with Ledger.open(
            plan.journal,
            plan.study,
            overrides=plan.overrides,
            identity=provenance.of_runs(self._digests) | plan.space,
            frozen=True,
        ) as ledger:
            record = ledger.noted("record")
            if record is None or record["held"] is None:
                raise FrozenError
            yield FinishedWork(ledger=ledger, recorder=FinishedRecord(views=record["views"]))
