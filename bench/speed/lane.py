"""Ways to do a thing, each in a process of its own, so that none inherits another's memory.

What one way has freed, the next would find ready; who uses that way alone does not.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import torch

from gpt.config import RunConfig
from gpt.malloc import keep_freed_memory
from gpt.setup import set_up
from gpt.train import Point, train

T = TypeVar("T")


class Lane(Generic[T]):
    """An iterator that lives in a process of its own and works only when asked.

    Args:
        make: makes the iterator, there; pickled, so a module's function, or a partial of one.
        as_worker: whether freed memory is kept, as in the workers of a sweep, or not, as in a
            process that Python starts.

    What `make` or the iterator raises is raised here.
    """

    def __init__(self, make: Callable[[], Iterator[T]], *, as_worker: bool = True) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self._begun = self._pool.submit(_begin, make, torch.get_num_threads(), as_worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown()

    def __call__(self) -> T:
        """What comes next."""
        self._begun.result()  # several lanes begin at the same time
        result: T = self._pool.submit(_next).result()
        return result


def points(
    config: RunConfig, cache: Path | None = None, corpora_dir: Path | None = None
) -> Iterator[Point]:
    """A run's training, point by point."""
    return train(set_up(config, corpora_dir=corpora_dir, cache=cache))


_iterator: Iterator[Any]


def _begin(make: Callable[[], Iterator[Any]], n_threads: int, as_worker: bool) -> None:
    global _iterator
    torch.set_num_threads(n_threads)
    if as_worker:
        keep_freed_memory()
    _iterator = make()


def _next() -> Any:
    return next(_iterator)
