"""The queue to the tracking store: what can't be sent in an outage is kept, and sent later.

Everything to be recorded goes through one queue, in order. Each message is written to disk
(`bench.record.outbox_folder`), and a thread beside training sends it, so a store that hangs delays
neither training nor the answer to a signal. A store that is away, locked or full is tried again
from time to time, at the end, and by the next launch; a message that it refuses for good is set
aside. Each run gets a name of our own, recorded as a tag, before the store gives it an id. If the
call that creates a run may already have been sent, the run is first looked up by that name, so
that it is not created twice.
"""

import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec

from bench.record.outbox_folder import OutboxFolder, OutboxMessage
from bench.record.tracking import (
    MetricPoint,
    Tracker,
    first_line,
    is_outage,
    metric_points,
    milliseconds,
)
from bench.system.redact import redacted_all

Arguments = ParamSpec("Arguments")

FLUSH_SECONDS = 5.0
"""How long metrics are collected for one call: a call for each would cost more than a step."""

RETRY_SECONDS = 30.0
"""Pause before a store that did not answer is tried again."""

PATIENCE_SECONDS = 30.0
"""How long a store may take for one message at the end before it counts as away."""

HURRIED_SECONDS = 5.0
"""The same after a signal to stop."""

SLOWEST_BYTES_PER_SECOND = 100_000.0
"""A message with files may take as long as this rate allows."""

POLL_SECONDS = 0.1


class Outbox:
    """Sends messages to a tracker. Use it in a `with` statement, or close it.

    Args:
        folder: where messages are kept; those of an earlier launch are sent first.
        patience: returns how many seconds `flush` waits for a store that does not answer; it is
            called repeatedly, so that a signal can shorten the wait.
    """

    def __init__(
        self,
        tracker: Tracker,
        folder: Path,
        *,
        patience: Callable[[], float] = lambda: PATIENCE_SECONDS,
    ) -> None:
        self.tracker = tracker
        self._patience = patience
        self._kept = OutboxFolder(folder, folder.parent.with_name("refused") / folder.name)
        self._measured: defaultdict[str, list[MetricPoint]] = defaultdict(list)
        self._flushed_at = time.monotonic()
        self._unkept = ""
        self._changed = threading.Condition()  # guards the attributes below
        self._waiting = deque(self._kept.load())
        self.any_kept = bool(self._waiting)
        """Whether an earlier launch left messages."""

        self._ids: dict[str, str] = {}
        self._doubtful: set[str] = set()
        self._outage = ""
        self._retry_at = 0.0
        self._progress_at = time.monotonic()
        self._busy = False
        self._closed = False
        self._thread = threading.Thread(target=self._send, name="outbox", daemon=True)
        self._thread.start()

    def begin(
        self,
        method: Callable[Concatenate[Tracker, Arguments], str],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> str:
        """Queue a call that creates a run; returns our own name of the run."""
        own = uuid.uuid4().hex
        arguments = {**self._by_name(method, args, kwargs), "at": milliseconds(), "own": own}
        self._add(OutboxMessage(method=method.__name__, arguments=arguments, begins=own))
        return own

    def put(
        self,
        method: Callable[Concatenate[Tracker, Arguments], None],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> None:
        """Queue a call of a method of the tracker."""
        arguments = self._by_name(method, args, kwargs)
        self._add(OutboxMessage(method=method.__name__, arguments=arguments))

    def log(self, run_id: str, step: int, metrics: Mapping[str, float | None]) -> None:
        """Collect metrics for the next batch, without those that are None or not finite."""
        self._measured[run_id] += metric_points(step, metrics)
        if time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            for run, metrics_of_run in self._measured.items():
                self.put(Tracker.log, run, metrics_of_run)
            self._measured.clear()
            self._flushed_at = time.monotonic()

    def finish(
        self, run_id: str, status: str, *, tags: Mapping[str, Any], folder: Path | None = None
    ) -> None:
        """End a run; the files in `folder`, which is moved away, become its artifacts.

        On return everything is on disk, so a kill loses nothing.
        """
        metrics = self._measured.pop(run_id, [])
        self.put(
            Tracker.finish, run_id, status,
            tags=tags, metrics=metrics, folder=folder, at=milliseconds(),
        )  # fmt: skip

    def new_folder(self) -> Path:
        """An empty folder for files that are to be sent."""
        return self._kept.new_folder()

    @property
    def unsent(self) -> str:
        """How many messages are unsent and why, in one line; "" if none are."""
        with self._changed:
            if not self._waiting:
                return ""
            why = self._outage or "it does not answer"
            unkept = sum(message.file is None for message in self._waiting)
            n_messages = len(self._waiting)
        text = f"{n_messages} messages to the tracking store are still in {self._kept.folder}"
        if unkept:
            text += f", but for {unkept} that could not be kept: {self._unkept}"
        return f"{text} ({why}); the same command sends them"

    @property
    def refused(self) -> str:
        """Which messages were damaged or refused for good, in one line; "" if none were."""
        reasons = self._kept.set_aside_reasons
        if not reasons:
            return ""
        return (
            f"{len(reasons)} messages can't be sent and lie in {self._kept.refused}: {reasons[0]}"
        )

    def given_up(self, ledger: str) -> set[str]:
        """The attempts of a ledger whose runs were refused for good."""
        return self._kept.given_up(ledger)

    def flush(self) -> None:
        """Wait until everything is sent, or the store turns out to be away."""
        self._wait()
        while self._doubtful and not self.unsent:
            own = self._doubtful.pop()
            self.put(Tracker.keep_one, own, own)
            self._wait()
        with self._changed:
            for message in list(self._waiting)[self._busy :]:
                if message.file is None:
                    self._keep(message)  # there may be room again
            if not self._waiting:
                self._kept.tidy()

    def close(self) -> None:
        """End the thread without waiting for a hanging call, whose message stays on disk."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(min(1.0, self._patience()))

    def __enter__(self) -> "Outbox":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _wait(self) -> None:
        with self._changed:
            self._outage, self._retry_at = "", 0.0
            self._changed.notify_all()
            begun = time.monotonic()
            while self._waiting and not self._outage:
                silent = time.monotonic() - max(begun, self._progress_at)
                if silent >= self._patience() and silent >= self._longer():
                    break
                self._changed.wait(POLL_SECONDS)

    def _longer(self) -> float:
        """Seconds that the files of the current message may take; 0 after a signal to stop."""
        files = self._waiting[0].files
        if self._patience() < PATIENCE_SECONDS or files is None:
            return 0.0
        n_bytes = sum(path.stat().st_size for path in files.rglob("*") if path.is_file())
        return n_bytes / SLOWEST_BYTES_PER_SECOND

    def _by_name(
        self, method: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> dict[str, object]:
        bound = signature(method).bind(self.tracker, *args, **kwargs)
        return {name: value for name, value in bound.arguments.items() if name != "self"}

    def _add(self, message: OutboxMessage) -> None:
        message.arguments = redacted_all(message.arguments)
        self._keep(message)
        with self._changed:
            self._waiting.append(message)
            self._changed.notify_all()

    def _keep(self, message: OutboxMessage) -> None:
        try:
            self._kept.keep(message)
        except OSError as error:  # it stays in memory
            self._unkept = str(error)

    def _send(self) -> None:
        """The thread's loop: send the waiting messages one by one."""
        while (message := self._next()) is not None:
            outage = ""
            try:
                self._perform(message)
            except Exception as error:
                if is_outage(error) or not self.tracker.answers():
                    outage = first_line(error)
                else:
                    self._kept.set_aside(message, first_line(error))
            else:
                self._kept.drop(message)
            with self._changed:
                if outage:
                    self._outage = outage
                    self._retry_at = time.monotonic() + RETRY_SECONDS
                else:
                    self._waiting.popleft()
                    self._progress_at = time.monotonic()
                self._busy = False
                self._changed.notify_all()

    def _next(self) -> OutboxMessage | None:
        """Wait until it is time to send the oldest message; None when closed."""
        with self._changed:
            while not self._closed:
                pause = self._retry_at - time.monotonic()
                if self._waiting and pause <= 0:
                    self._busy = True
                    return self._waiting[0]
                self._changed.wait(pause if self._waiting else None)
        return None

    def _perform(self, message: OutboxMessage) -> None:
        arguments = dict(message.arguments)
        for name in ("run_id", "launch"):
            if arguments.get(name):
                arguments[name] = self._id_of(arguments[name])
        if message.files is not None:
            arguments["folder"] = message.files
        if message.begins is not None:
            arguments["again"] = message.tried
            if message.tried:
                self._doubtful.add(message.begins)
        message.tried = True
        result = getattr(self.tracker, message.method)(**arguments)
        if message.begins is not None:
            self._ids[message.begins] = result

    def _id_of(self, own: str) -> str:
        """The store's id of a run that has a name of our own; other names are ids already."""
        if own not in self._ids:
            self._ids[own] = self.tracker.find(own) or own
        return self._ids[own]
