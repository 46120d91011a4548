"""Messages to the tracking store, on disk until they are sent: a file each, in their order.

A kill loses none of them, nor the files of the runs that ended. What can't be read back is set
aside, and so is what the store refuses for good: in a folder beside, with the reasons.
"""

import glob
import json
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from bench.record.tracking import TAG_ATTEMPT, Tracker
from gpt.cache import atomic

WHY = "why.txt"


@dataclass(kw_only=True)
class OutboxMessage:
    """A call of one of the tracker's methods, in what JSON can hold."""

    method: str
    arguments: dict[str, Any]
    begins: str | None = None
    """Our name of the run that it begins."""

    tried: bool = False
    """Whether it may have been performed, though nobody has heard of it."""

    number: int = 0
    """Its place in the order; 0: it has none yet."""

    file: Path | None = None
    """Where it is kept, if it is."""

    @property
    def files(self) -> Path | None:
        """The folder with the files of a run, which go with it."""
        folder = self.arguments.get("folder")
        return None if folder is None else Path(folder)


class OutboxFolder:
    """The messages in a folder.

    Args:
        folder: made when a message is kept, and removed with the last of them.
        refused: where what can't be sent goes.
    """

    def __init__(self, folder: Path, refused: Path) -> None:
        self.folder = folder
        self.refused = _free(refused)
        self._refused_before = refused
        self.set_aside_reasons: list[str] = []
        self._last = 0

    def load(self) -> list[OutboxMessage]:
        """What an earlier launch left, oldest first; what is damaged is set aside."""
        messages = []
        paths = sorted(self.folder.glob("*.json"))
        for path in paths:
            try:
                messages.append(_read(path))
                self._last = messages[-1].number
            except (OSError, ValueError, TypeError, AttributeError) as error:
                reason = f"{path.name} is damaged: {type(error).__name__}: {error}"
                self._move(path, reason)
        for left in self.folder.glob("*"):  # half written as the launch was killed
            if left.suffix == ".partial":
                left.unlink()
            elif left.is_dir() and not left.with_suffix(".json").exists():
                shutil.rmtree(left)
        return messages

    def keep(self, message: OutboxMessage) -> None:
        """Write a message, and take over its run's files; raises `OSError` if that can't be."""
        if not message.number:
            self._last += 1
            message.number = self._last
        path = self.folder / f"{message.number:08d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        if (files := message.files) is not None and files.exists():
            # at once under a name of its own, for the next run may use this one
            own = files.rename(files.with_name(message.arguments["run_id"]))
            message.arguments["folder"] = str(own)
            try:
                shutil.move(own, path.with_suffix(""))
            except OSError:
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                raise
            message.arguments["folder"] = str(path.with_suffix(""))
        _write(path, message)
        message.file = path

    def drop(self, message: OutboxMessage) -> None:
        """Forget a message that was sent, and its run's files."""
        if message.file is not None:
            message.file.unlink(missing_ok=True)
        if message.files is not None:
            shutil.rmtree(message.files, ignore_errors=True)

    def set_aside(self, message: OutboxMessage, reason: str) -> None:
        """Move a message that can't be sent to the folder of those."""
        reason = f"{message.method}: {reason}"
        if message.file is not None:
            self._move(message.file, f"{message.file.name}: {reason}")
        else:
            self.set_aside_reasons.append(reason)

    def given_up(self, ledger: str) -> set[str]:
        """The attempts of a ledger whose runs the store would not begin, now or earlier."""
        before = self._refused_before
        found = set()
        for path in before.parent.glob(f"{glob.escape(before.name)}-*/*.json"):
            with suppress(OSError, ValueError, KeyError, TypeError):  # a damaged one says nothing
                content = json.loads(path.read_text("utf-8"))
                if content["begins"] and content["arguments"]["ledger"] == ledger:
                    found.add(content["arguments"]["tags"][TAG_ATTEMPT])
        return found

    def tidy(self) -> None:
        """Remove the folder if nothing is in it."""
        with suppress(OSError):
            self.folder.rmdir()

    def _move(self, path: Path, reason: str) -> None:
        self.set_aside_reasons.append(reason)
        with suppress(OSError):  # a full disk: it stays, and is tried again
            self.refused.mkdir(parents=True, exist_ok=True)
            with (self.refused / WHY).open("a", encoding="utf-8") as file:
                file.write(f"{reason}\n")
            for part in (path, path.with_suffix("")):
                if part.exists():
                    shutil.move(part, self.refused / part.name)


def _free(folder: Path) -> Path:
    """A name for a folder that is not there yet."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (stamp, *(f"{stamp}-{i}" for i in range(2, 1000)))
    paths = (folder.with_name(f"{folder.name}-{name}") for name in names)
    return next(path for path in paths if not path.exists())


def _write(path: Path, message: OutboxMessage) -> None:
    content = {
        "method": message.method,
        "arguments": message.arguments,
        "begins": message.begins,
    }
    with atomic(path) as partial:
        partial.write_text(json.dumps(content, default=str), encoding="utf-8")


def _read(path: Path) -> OutboxMessage:
    content = json.loads(path.read_text("utf-8"))
    message = OutboxMessage(**content, tried=True, number=int(path.stem), file=path)
    signature(getattr(Tracker, message.method)).bind(None, **message.arguments)
    if (files := path.with_suffix("")).is_dir():  # the whole may have been moved since
        message.arguments["folder"] = str(files)
    return message
