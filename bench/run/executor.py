"""The protocol of executors, and the local one: a pool of worker processes on this machine.

An executor takes tasks and returns their messages as they arrive, each with the name of its task.
A process that dies is reported as an event (`Died`) and replaced. The standard library's pools
give up all work when one process is killed, but a sweep must survive a killed run.

Processes are forked from a server that has torch imported (on Linux; started afresh elsewhere), so
a replacement takes milliseconds. They end when the parent does (`bench.system.lifeline`).
"""

import contextlib
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

import torch

from bench.run import forkserver
from bench.run.messages import Finished, Message, Task
from bench.run.worker import perform
from bench.system.interruption import SIGNALS
from bench.system.lifeline import end_with_parent
from gpt.acceleration.malloc import keep_freed_memory
from gpt.config import RunConfig
from gpt.device import available_devices
from gpt.errors import MachineError

LEAVE_SECONDS = 5.0
"""Time for all idle processes together to end by themselves."""


@dataclass(frozen=True)
class Died:
    """The process that worked on a task has ended, and there will be no `Finished`."""

    reason: str


Event = Message | Died


class Executor(Protocol):
    """Takes tasks, and returns their messages as they arrive."""

    @property
    def n_workers(self) -> int:
        """Number of runs at the same time."""

    @property
    def n_free(self) -> int:
        """How many further tasks would start immediately."""

    @property
    def devices(self) -> Sequence[str]:
        """The kinds of device of its workers, best first."""

    def submit(self, name: str, task: Task) -> None:
        """Queue a task, which starts as soon as a worker is free."""

    def events(self, timeout_seconds: float) -> Iterator[tuple[str, Event]]:
        """The events that have arrived, each with its task's name; waits for the first one."""

    def stop(self, name: str) -> None:
        """Ask a run to end at its next point; it answers with a `Finished`."""

    def close(self) -> None:
        """End every task, at work or not, and wait until all are gone."""


def is_here(config: RunConfig, devices: Sequence[str]) -> bool:
    """Whether a run's device is among these."""
    return config.train.device in ("auto", *devices)


def refuse_absent_device(configs: Iterable[RunConfig], devices: Sequence[str]) -> None:
    """Raise `MachineError` if no cell's device is here; a sweep over devices keeps the others."""
    configs = list(configs)
    if not any(is_here(config, devices) for config in configs):
        wanted = {config.train.device for config in configs}
        raise MachineError(
            f"device must be one of this machine's ({', '.join(devices)}) "
            f"but got {', '.join(sorted(wanted))}"
        )


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    pipe: "Connection[Task | None, Message]"


class LocalExecutor:
    """Worker processes on this machine.

    Args:
        n_workers: number of processes.
        n_threads: torch's threads in each of them.
    """

    def __init__(self, n_workers: int, n_threads: int) -> None:
        self._context = forkserver.context()
        self._n_threads = n_threads
        self._waiting: deque[tuple[str, Task]] = deque()
        self._busy: dict[str, _Worker] = {}
        self._idle = [self._start() for _ in range(n_workers)]

    @property
    def n_workers(self) -> int:
        """Worker processes, at work or not."""
        return len(self._idle) + len(self._busy)

    @property
    def devices(self) -> Sequence[str]:
        """This machine's, best first."""
        return available_devices()

    @property
    def n_free(self) -> int:
        """Workers that a further task would find idle."""
        return len(self._idle)  # no worker is idle while a task waits

    def submit(self, name: str, task: Task) -> None:
        """Give a task to the next free worker."""
        self._waiting.append((name, task))
        self._assign()

    def events(self, timeout_seconds: float) -> Iterator[tuple[str, Event]]:
        """The events that have arrived; waits for the first one."""
        names = {worker.pipe: name for name, worker in self._busy.items()}
        for pipe in wait(list(names), timeout_seconds):
            name = names[pipe]  # type: ignore[index]
            yield name, self._receive(name)

    def stop(self, name: str) -> None:
        """Ask a run to end at its next point; it answers with a `Finished`."""
        if name in self._busy:
            with contextlib.suppress(OSError):
                self._busy[name].pipe.send(None)

    def close(self) -> None:
        """End every process, at work or not, and wait until all are gone.

        An idle process ends by itself, so that libraries can clean up, for example semaphores.
        """
        workers = [*self._idle, *self._busy.values()]
        for worker in workers:
            worker.pipe.close()
        for worker in self._busy.values():
            worker.process.kill()
        end = time.monotonic() + LEAVE_SECONDS
        for worker in self._idle:
            worker.process.join(max(0.0, end - time.monotonic()))
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
        self._idle.clear()
        self._busy.clear()
        self._waiting.clear()

    def _receive(self, name: str) -> Event:
        worker = self._busy[name]
        try:
            event: Event = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            worker.pipe.close()
            worker, event = self._start(), Died(_cause(worker.process.exitcode))
        if isinstance(event, Finished | Died):
            del self._busy[name]
            self._idle.append(worker)
            self._assign()
        return event

    def _assign(self) -> None:
        while self._idle and self._waiting:
            name, task = self._waiting.popleft()
            self._busy[name] = worker = self._idle.pop()
            with contextlib.suppress(OSError):  # it died while idle: reading will find out
                worker.pipe.send(task)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._n_threads), daemon=True)
        forkserver.start_worker(process)
        theirs.close()
        return _Worker(process, ours)


def _serve(pipe: "Connection[Message, Task | None]", n_threads: int) -> None:
    """A worker's loop: take a task, do it, take the next one, until the parent is gone."""
    for number in SIGNALS:  # sent to the whole group; the parent handles them
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()
    torch.set_num_threads(n_threads)
    keep_freed_memory()

    def send(message: Message) -> bool:
        pipe.send(message)
        if isinstance(message, Finished):
            return True  # the pipe's next item is a task, not a request to stop
        asked_to_stop = pipe.poll() and pipe.recv() is None
        return not asked_to_stop

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task = pipe.recv()
            if task is not None:  # None is a request to stop that came too late
                perform(task, send)


def _cause(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"its process was killed by {signal.Signals(-exit_code).name}"
    return f"its process ended with exit code {exit_code}"
