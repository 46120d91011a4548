"""The executor for a Ray cluster, or for Ray on this machine.

Ray places each run where cores or a GPU are free, and passes its messages back. A lost machine or
process is an event (`Died`), as with the local executor. The files of a run arrive just before its
last message. Every machine must have the same version of the suite and find texts under the same
names; differences are refused. (https://docs.ray.io/en/latest/ray-core)
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
    """The files that a run wrote on its machine: relative path -> bytes."""

    contents: dict[str, bytes]


@dataclass(frozen=True)
class _Stream:
    """A task that runs or waits."""

    task: Task
    messages: Any
    """Ray's generator of references to messages."""


class _Wishes:
    """Which runs should stop; a Ray actor on the parent's machine, asked at each point."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def add(self, name: str) -> None:
        """Ask a run to stop at its next point."""
        self._names.add(name)

    def go_on(self, name: str) -> bool:
        """Whether a run need not stop."""
        return name not in self._names


class RayExecutor:
    """A Ray cluster's processes.

    Args:
        address: the cluster's; None starts one on this machine, which ends with the executor.
        configs: of all runs; a run on a GPU takes a whole GPU.
        n_workers: most runs at the same time; with fewer than a machine has cores, each run gets
            several threads.

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
                max_retries=0,  # the ledger decides on retries
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
        """How many further tasks the cluster would start immediately."""
        return max(0, self._n_workers - len(self._streams))

    @property
    def devices(self) -> Sequence[str]:
        """The cluster's, best first."""
        return ["cuda", "cpu"] if self._has_gpu else ["cpu"]

    def submit(self, name: str, task: Task) -> None:
        """Queue a task, which starts as soon as a machine has room."""
        n_gpus = self._n_gpus(task.config) if isinstance(task, Train | Measure) else 0
        messages = self._perform.options(num_gpus=n_gpus).remote(
            name, task, Path.cwd(), self._n_threads, code_digest(), self._wishes
        )
        self._streams[name] = _Stream(task, messages)

    def events(self, timeout_seconds: float) -> Iterator[tuple[str, Event]]:
        """The events that have arrived; waits for the first one."""
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
        """Leave the cluster, which ends our tasks; a cluster that we started ends too."""
        self._streams.clear()
        ray.shutdown()

    def _n_gpus(self, config: RunConfig) -> int:
        return int(self._has_gpu and config.train.device != "cpu")

    def _receive(self, name: str) -> Event:
        """The next event of a task; files that arrive before it are written to its folder."""
        stream = self._streams[name]
        try:
            while isinstance(event := ray.get(next(stream.messages)), _Files):
                _write(event, stream.task)  # the message that they belong to follows
        except RayError as error:
            event = Died(cause_of(error))
        if isinstance(event, Finished | Died):
            del self._streams[name]
        received: Event = event
        return received


def _perform(
    name: str, task: Task, folder: Path, n_threads: int, code: str, wishes: Any
) -> Generator[Message | _Files, None, None]:
    """Do a task on a machine of the cluster, as a local worker does."""
    if code != code_digest():  # the machine joined later
        raise MachineError(f"every machine must run gpt-bench {code} but here is {code_digest()}")
    with contextlib.suppress(OSError):
        os.chdir(folder)  # relative paths work as in the parent, if the folder exists
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
    """Write the files of a run where it would have written them, had it run here."""
    if not isinstance(task, Train):
        return
    for name, content in files.contents.items():
        path = task.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
