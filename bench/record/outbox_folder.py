"""Messages to the tracking store, kept on disk until they are sent: one file each, in order.

A kill loses no message and no files of a run that ended. Messages that can't be read back, or that
the store refuses for good, are moved to a folder beside this one, with the reasons.
"""

import glob
import json
import shutil
import time
import uuid
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
    """A call of one of the tracker's methods, stored as JSON."""

    method: str
    arguments: dict[str, Any]
    begins: str | None = None
    """Our own name of the run that the call creates, if it creates one."""

    tried: bool = False
    """Whether the call may already have been made, with its answer lost."""

    number: int = 0
    """Its position in the order; 0: not yet numbered."""

    file: Path | None = None
    """Its file, if it is on disk."""

    @property
    def files(self) -> Path | None:
        """The folder with the files of a run that are sent with it."""
        folder = self.arguments.get("folder")
        return None if folder is None else Path(folder)


class OutboxFolder:
    """The messages in a folder.

    Args:
        folder: made for the first message, and removed after the last one.
        refused: the folder for messages that can't be sent; a time is added to its name.
    """

    def __init__(self, folder: Path, refused: Path) -> None:
        self.folder = folder
        self.refused = _free(refused)
        self._refused_before = refused
        self.set_aside_reasons: list[str] = []
        self._last = 0

    def load(self) -> list[OutboxMessage]:
        """The messages of an earlier launch, oldest first; damaged ones are set aside."""
        messages = []
        paths = sorted(self.folder.glob("*.json"))
        for path in paths:
            try:
                messages.append(_read(path))
                self._last = messages[-1].number
            except (OSError, ValueError, TypeError, AttributeError) as error:
                reason = f"{path.name} is damaged: {type(error).__name__}: {error}"
                self._move(path, reason)
        for left in self.folder.glob("*"):  # half written when a launch was killed
            if left.suffix == ".partial":
                left.unlink()
            elif left.is_dir() and not left.with_suffix(".json").exists():
                shutil.rmtree(left)
        return messages

    def keep(self, message: OutboxMessage) -> None:
        """Write a message, and move its run's files here; raises `OSError` if that fails."""
        if not message.number:
            self._last += 1
            message.number = self._last
        path = self.folder / f"{message.number:08d}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        if (files := message.files) is not None and files.exists():
            # rename it first: the next run may use the same folder
            own = files.rename(files.with_name(uuid.uuid4().hex))
            message.arguments["folder"] = str(own)
            try:
                shutil.move(own, path.with_suffix(""))
            except OSError:
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                raise
            message.arguments["folder"] = str(path.with_suffix(""))
        _write(path, message)
        message.file = path

    def new_folder(self) -> Path:
        """An empty folder for files of a message; one that is left is removed by `load`."""
        folder = self.folder / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder

    def drop(self, message: OutboxMessage) -> None:
        """Delete a message that was sent, and its run's files."""
        if message.file is not None:
            message.file.unlink(missing_ok=True)
        if message.files is not None:
            shutil.rmtree(message.files, ignore_errors=True)

    def set_aside(self, message: OutboxMessage, reason: str) -> None:
        """Move a message that can't be sent to the `refused` folder."""
        reason = f"{message.method}: {reason}"
        if message.file is not None:
            self._move(message.file, f"{message.file.name}: {reason}")
        else:
            self.set_aside_reasons.append(reason)

    def given_up(self, ledger: str) -> set[str]:
        """The attempts of a ledger whose runs the store refused to create, now or earlier."""
        before = self._refused_before
        found = set()
        for path in before.parent.glob(f"{glob.escape(before.name)}-*/*.json"):
            with suppress(OSError, ValueError, KeyError, TypeError):  # damaged: skip it
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
        with suppress(OSError):  # a full disk: the message stays, and is tried again
            self.refused.mkdir(parents=True, exist_ok=True)
            with (self.refused / WHY).open("a", encoding="utf-8") as file:
                file.write(f"{reason}\n")
            for part in (path, path.with_suffix("")):
                if part.exists():
                    shutil.move(part, self.refused / part.name)


def _free(folder: Path) -> Path:
    """A folder of that name and a time, which does not exist yet."""
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
    if (files := path.with_suffix("")).is_dir():  # the folder may have been moved since
        message.arguments["folder"] = str(files)
    return message
