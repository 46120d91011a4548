"""Run each way that is timed in a process of its own, so that none profits from another's memory.

In one process, a way would reuse the memory that another one has freed. A user who runs it alone
does not have that advantage.
"""

import contextlib
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import torch

from bench.run.executor import LEAVE_SECONDS
from bench.system.interruption import kept_from_children
from bench.system.lifeline import end_with_parent
from gpt.acceleration.malloc import keep_freed_memory
from gpt.config import RunConfig
from gpt.errors import MachineError
from gpt.training.loop import Point, train
from gpt.training.setup import set_up

T = TypeVar("T")


class IsolatedIterator(Generic[T]):
    """An iterator that lives in a process of its own and works only when asked.

    Args:
        make: makes the iterator in the other process; it is pickled, so it must be a function of a
            module, or a partial of one.
        as_worker: whether the process keeps freed memory, as the workers of a sweep do.

    Calling the object gives the next value. What `make` or the iterator raises is raised here.
    """

    def __init__(self, make: Callable[[], Iterator[T]], *, as_worker: bool = True) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, make, torch.get_num_threads(), as_worker)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        with kept_from_children():
            self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pipe.close()
        if error is None:
            self._process.join(LEAVE_SECONDS)
        self._process.kill()
        self._process.join()

    def __call__(self) -> T:
        """The iterator's next value."""
        try:
            self._pipe.send(None)
            result: T | BaseException = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            raise MachineError(
                f"a process that is timed must live but ended with {self._process.exitcode}"
            ) from None
        if isinstance(result, BaseException):
            raise result
        return result


def points(
    config: RunConfig, cache: Path | None = None, corpora_dir: Path | None = None
) -> Iterator[Point]:
    """A run's training, point by point."""
    return train(set_up(config, corpora_dir=corpora_dir, cache=cache))


def _serve(
    pipe: "Connection[Any, None]",
    make: Callable[[], Iterator[Any]],
    n_threads: int,
    as_worker: bool,
) -> None:
    """The other process: make the iterator at once, then send its next value whenever asked."""
    end_with_parent()
    torch.set_num_threads(n_threads)
    if as_worker:
        keep_freed_memory()
    failed, iterator = None, iter(())
    try:
        iterator = make()
    except Exception as error:
        failed = error
    with contextlib.suppress(EOFError, OSError):  # the command has closed its end
        while True:
            pipe.recv()
            pipe.send(failed or _next(iterator))


def _next(iterator: Iterator[Any]) -> Any:
    """The next value, or the error instead of it."""
    try:
        return next(iterator)
    except Exception as error:
        return error
