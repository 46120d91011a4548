"""Who computes? The machines of a Ray cluster, or Ray on this one.

Ray places each run where its cores, or its GPU, are free, and passes its messages back; a machine
or a process that is lost is an event (`Died`), as everywhere. What a run leaves in its folder
comes with its last message. Every machine has the suite installed, in the same version, and finds
texts by the same names: what differs there is refused. (https://docs.ray.io/en/latest/ray-core)
"""

import contextlib
import os
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from bench.run.executor import Died, Event, refuse_absent_device
from bench.run.messages import Finished, Measure, Message, Task, Train
from bench.run.ray_cluster import cause_of, connect, machines_of_cluster, on, with_this_code
from bench.run.worker import messages_of
from bench.system.provenance import code_digest
from bench.system.scratch import scratch_folder
from gpt.acceleration.malloc import keep_freed_memory
from gpt.cache import default_cache
from gpt.config import RunConfig
from gpt.errors import MachineError


@dataclass(frozen=True)
class _Files:
    """What a run has left, on its machine: relative path -> bytes."""

    contents: dict[str, bytes]


@dataclass(frozen=True)
class _Stream:
    """A task at work, or waiting for its turn."""

    task: Task
    messages: Any
    """Ray's generator of references to messages."""


class _Wishes:
    """Which runs should stop; lives beside the parent, and is asked at each point."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def add(self, name: str) -> None:
        """A run should stop at its next point."""
        self._names.add(name)

    def go_on(self, name: str) -> bool:
        """Whether a run need not stop."""
        return name not in self._names


class RayExecutor:
    """A Ray cluster's processes.

    Args:
        address: the cluster's; None starts one on this machine, which ends with the executor.
        configs: what will be trained; a run on a GPU takes a whole one.
        n_workers: runs side by side, at most. Fewer than a machine has cores get several threads.

    Raises:
        MachineError: there is no such cluster, no device that any config asks for, or a machine
            with other code.
    """

    def __init__(self, address: str | None, configs: Sequence[RunConfig], n_workers: int) -> None:
        connect(address)
        self._streams: dict[str, _Stream] = {}
        try:
            machines = with_this_code(machines_of_cluster())
            self._has_gpu = any(machine.n_gpus for machine in machines)
            refuse_absent_device(configs, self.devices)
            if all(self._n_gpus(config) for config in configs):
                machines = [machine for machine in machines if machine.n_gpus]
                self._n_threads = max(1, min(m.n_cpus // m.n_gpus for m in machines))
                capacity = sum(machine.n_gpus for machine in machines)
            else:
                self._n_threads = max(1, min(m.n_cpus for m in machines) // n_workers)
                capacity = sum(machine.n_cpus // self._n_threads for machine in machines)
            self._n_workers = min(n_workers, capacity)
            beside = on(ray.get_runtime_context().get_node_id())
            self._wishes = ray.remote(num_cpus=0, scheduling_strategy=beside)(_Wishes).remote()
            self._perform = ray.remote(
                num_returns="streaming",
                max_retries=0,  # the ledger's to decide
                num_cpus=self._n_threads,
            )(_perform)
        except BaseException:
            self.close()
            raise

    @property
    def n_workers(self) -> int:
        """Runs side by side, at most."""
        return self._n_workers

    @property
    def n_free(self) -> int:
        """How many further tasks the cluster would begin at once."""
        return max(0, self._n_workers - len(self._streams))

    @property
    def devices(self) -> Sequence[str]:
        """The cluster's, best first."""
        return ["cuda", "cpu"] if self._has_gpu else ["cpu"]

    def submit(self, name: str, task: Task) -> None:
        """Have a task done where there is room for it, as soon as there is."""
        n_gpus = self._n_gpus(task.config) if isinstance(task, Train | Measure) else 0
        messages = self._perform.options(num_gpus=n_gpus).remote(
            name, task, Path.cwd(), self._n_threads, code_digest(), self._wishes
        )
        self._streams[name] = _Stream(task, messages)

    def events(self, timeout_seconds: float) -> Iterator[tuple[str, Event]]:
        """What has come in; waits for the first that does, up to a time."""
        if not self._streams:
            time.sleep(timeout_seconds)
            return
        names = {stream.messages: name for name, stream in self._streams.items()}
        ready, _ = ray.wait(list(names), timeout=timeout_seconds)
        for messages in ready:
            yield names[messages], self._receive(names[messages])

    def stop(self, name: str) -> None:
        """Ask a run to end at its next point; it answers with a `Finished`."""
        if name in self._streams:
            ray.get(self._wishes.add.remote(name))

    def close(self) -> None:
        """Leave the cluster, which ends every task of ours; one of our own ends too."""
        self._streams.clear()
        ray.shutdown()

    def _n_gpus(self, config: RunConfig) -> int:
        return int(self._has_gpu and config.train.device != "cpu")

    def _receive(self, name: str) -> Event:
        """The next of what has come in from a task; its files are put in their place."""
        stream = self._streams[name]
        try:
            while isinstance(event := ray.get(next(stream.messages)), _Files):
                _write(event, stream.task)  # what it belongs to follows at once
        except RayError as error:
            event = Died(cause_of(error))
        if isinstance(event, Finished | Died):
            del self._streams[name]
        received: Event = event
        return received


def _perform(
    name: str, task: Task, folder: Path, n_threads: int, code: str, wishes: Any
) -> Generator[Message | _Files, None, None]:
    """Do a task on a machine of the cluster, as a worker of a sweep does."""
    if code != code_digest():  # one that joined later
        raise MachineError(f"every machine must run gpt-bench {code} but here is {code_digest()}")
    with contextlib.suppress(OSError):
        os.chdir(folder)  # relative names mean what they mean to the parent, if it is there
    torch.set_num_threads(n_threads)
    keep_freed_memory()
    with scratch_folder() as own:
        messages = messages_of(_here(task, own / "run"))
        message = next(messages)
        while not isinstance(message, Finished):
            yield message
            message = messages.send(ray.get(wishes.go_on.remote(name)))
        if files := _read(own / "run"):
            yield _Files(files)
        yield message


def _here(task: Task, folder: Path) -> Task:
    """The same task with the folders of this machine."""
    folders = replace(task.folders, cache=default_cache())
    if isinstance(task, Train):
        return replace(task, folders=folders, folder=folder)
    return replace(task, folders=folders)


def _read(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _write(files: _Files, task: Task) -> None:
    """Put what a run has left where it would lie, had it run here."""
    if not isinstance(task, Train):
        return
    for name, content in files.contents.items():
        path = task.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
