"""An outage of the tracking store stops no training: what can't be sent is kept, and sent later.

Whatever is to be recorded goes through one queue, in its order, and nearly always at once. Where
the store is away, locked or full, the queue is kept in a file, with the files of the runs that
ended meanwhile, and is tried again now and then, at the end, and by the next launch. A run has a
name of ours until the store has given it one. Left out: a thread of its own for sending, since a
message takes milliseconds; and that nothing is ever sent twice: a message cut short half way is.
"""

import json
import shutil
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from inspect import signature
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from bench.tracking import Measured, Tracker, first_line, measured, milliseconds
from gpt.cache import atomic_write
from gpt.errors import MachineError

Arguments = ParamSpec("Arguments")

FLUSH_SECONDS = 5.0
"""How long metrics are gathered: one call for each would cost more than a training step."""

RETRY_SECONDS = 30.0
"""How long a store that was away is left alone."""


@dataclass(kw_only=True)
class Message:
    """A call of one of the tracker's methods, in what JSON can hold."""

    method: str
    arguments: dict[str, Any]
    begins: str | None = None
    """Our name of the run that it begins."""


class Outbox:
    """The way to a tracker.

    Args:
        folder: where messages are kept; those of an earlier launch are sent at once.

    Raises:
        MachineError: they can't be.
    """

    def __init__(self, tracker: Tracker, folder: Path) -> None:
        self.tracker = tracker
        self._folder = folder
        self._file = folder / "messages.json"
        self._ids: dict[str, str] = {}
        self._waiting: deque[Message] = deque()
        self._measured: defaultdict[str, list[Measured]] = defaultdict(list)
        self._flushed_at = time.monotonic()
        self._retry_at = 0.0
        self._outage = ""
        if self._file.exists():
            kept = json.loads(self._file.read_text("utf-8"))
            self._ids = kept["ids"]
            self._waiting.extend(Message(**message) for message in kept["messages"])
            self.send()
        if unsent := self.unsent:
            raise MachineError(
                f"what an earlier launch left must be sent first but {unsent}\n"
                f"bring the store back, or remove {folder} to give that up"
            )

    def begin(
        self,
        method: Callable[Concatenate[Tracker, Arguments], str],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> str:
        """Have a method of the tracker begin a run, now or later; returns our name of the run."""
        run_id = uuid.uuid4().hex
        arguments = {**self._by_name(method, args, kwargs), "at": milliseconds()}
        self._add(Message(method=method.__name__, arguments=arguments, begins=run_id))
        return run_id

    def put(
        self,
        method: Callable[Concatenate[Tracker, Arguments], None],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> None:
        """Have a method of the tracker called, now or later."""
        arguments = self._by_name(method, args, kwargs)
        self._add(Message(method=method.__name__, arguments=arguments))

    def log(self, run_id: str, step: int, metrics: Mapping[str, float | None]) -> None:
        """Keep metrics for the next batch; what is None or not finite is left out."""
        self._measured[run_id] += measured(step, metrics)
        if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            for run, metrics_of_run in self._measured.items():
                self.put(Tracker.log, run, metrics_of_run)
            self._measured.clear()
            self._flushed_at = time.monotonic()

    def finish(
        self, run_id: str, status: str, *, tags: Mapping[str, Any], folder: Path | None = None
    ) -> None:
        """End a run; what is in `folder`, which is copied if need be, becomes its artifacts."""
        metrics = self._measured.pop(run_id, [])
        self.put(
            Tracker.finish, run_id, status,
            tags=tags, metrics=metrics, folder=folder, at=milliseconds(),
        )  # fmt: skip

    @property
    def unsent(self) -> str:
        """Why something is still kept, in one line; "" if nothing is."""
        if not self._waiting:
            return ""
        return (
            f"{len(self._waiting)} messages to the tracking store are still in {self._folder} "
            f"({self._outage}); the same command sends them"
        )

    def send(self) -> None:
        """Send what waits, until the store is found to be away."""
        try:
            while self._waiting:
                self._perform(self._waiting[0])
                self._waiting.popleft()
        except Exception as error:
            self._outage = first_line(error)
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._keep()
        else:
            if self._file.exists():
                shutil.rmtree(self._folder)

    def _by_name(
        self, method: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> dict[str, object]:
        bound = signature(method).bind(self.tracker, *args, **kwargs)
        return {name: value for name, value in bound.arguments.items() if name != "self"}

    def _add(self, message: Message) -> None:
        self._waiting.append(message)
        if time.monotonic() >= self._retry_at:
            self.send()
        else:
            self._keep()

    def _perform(self, message: Message) -> None:
        arguments = dict(message.arguments)
        for name in arguments.keys() & {"run_id", "launch"}:
            arguments[name] = self._ids.get(arguments[name], arguments[name])
        if arguments.get("folder") is not None:
            arguments["folder"] = Path(arguments["folder"])
        result = getattr(self.tracker, message.method)(**arguments)
        if message.begins is not None:
            self._ids[message.begins] = result

    def _keep(self) -> None:
        """Write what waits to the disk, with the files of the runs that ended."""
        for message in self._waiting:
            folder = Path(message.arguments.get("folder") or self._folder)
            if self._folder not in (folder, *folder.parents):
                copied = self._folder / message.arguments["run_id"]
                if folder.exists():
                    shutil.copytree(folder, copied)
                message.arguments["folder"] = str(copied)
        content = {"ids": self._ids, "messages": [asdict(message) for message in self._waiting]}
        with atomic_write(self._file) as file:
            file.write(json.dumps(content, default=str).encode())
