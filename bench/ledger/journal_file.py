"""Is a ledger's file whole? Its lines can only follow one another: each bears a digest of all
that stands before it.

So a line that was removed, added or changed is found when the file is read, and such a file is
never appended to. A killed process may leave half a line at the end, which is cut off: nothing
that was written whole is lost by it. Left out: a lock, for the launch that writes holds one; and
the loss of whole lines at the end, which the record in MLflow shows.
"""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from gpt.errors import MachineError

_LINE_START = b'{"op_code"'
_SEALED = re.compile(rb'(\{"op_code".*),"follows":"([0-9a-f]{16})"\}', re.DOTALL)


class FrozenError(Exception):
    """A line would be written to a journal that is only looked at."""


class JournalFile(BaseJournalBackend):
    """A journal's lines, read once and kept; what is appended goes to the disk at once.

    Lines without a digest, as earlier versions wrote them, may stand before those with one.

    Args:
        path: a file that is not there is an empty journal, and made by the first line. Half a line
            at its end is passed over, and cut off when the next one is written.
        frozen: raise `FrozenError` instead of writing.

    Raises:
        ValueError: the file is damaged; the message names the line and what is wrong with it.
        OSError: it can't be read.
    """

    def __init__(self, path: Path, *, frozen: bool = False) -> None:
        self._path = path
        self._frozen = frozen
        self._logs: list[dict[str, Any]] = []
        self._sha256 = hashlib.sha256()
        content = path.read_bytes() if path.exists() else b""
        *lines, torn = content.split(b"\n")
        sealed = False
        for number, line in enumerate(lines, start=1):
            seal = _SEALED.fullmatch(line)
            if seal is None and sealed:
                raise ValueError(f"line {number} bears no digest: it was added, or cut short")
            if seal is not None and seal[2].decode() != self._seal(seal[1]):
                raise ValueError(
                    f"line {number} does not follow those before it: one was removed or changed"
                )
            sealed = seal is not None
            self._logs.append(_parse(line, number))
            self._sha256.update(line + b"\n")
        if not torn.startswith(_LINE_START[: len(torn)]):
            raise ValueError(f"line {len(lines) + 1}, its last, is no line of a journal")
        self._n_bytes = len(content) - len(torn)
        self._n_torn = len(torn)

    def read_logs(self, log_number_from: int) -> Sequence[dict[str, Any]]:
        """The lines from that number on, counted from 0."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write lines; they are on the disk when this returns.

        Raises:
            MachineError: they can't be written, or another program wrote to the file; it is left
                as it was.
        """
        if self._frozen:
            raise FrozenError
        for log in logs:
            body = json.dumps(log, separators=(",", ":")).encode()[:-1]
            line = body + b',"follows":"' + self._seal(body).encode() + b'"}\n'
            self._write(line)
            self._sha256.update(line)
            self._n_bytes += len(line)
            self._logs.append(json.loads(line))

    def _write(self, line: bytes) -> None:
        try:
            with self._path.open("ab") as file:
                if file.tell() != self._n_bytes + self._n_torn:
                    raise MachineError(
                        f"one launch alone may write to the ledger {self._path} but another "
                        "program changed it; run the same command again"
                    )
                file.truncate(self._n_bytes)
                self._n_torn = 0
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                os.truncate(self._path, self._n_bytes)
            raise MachineError(
                f"the ledger {self._path} must be writable and have room but got: {error}\n"
                "free some room; the same command goes on from here"
            ) from error

    def _seal(self, body: bytes) -> str:
        """The digest of a line, given all those before it."""
        sha256 = self._sha256.copy()
        sha256.update(body)
        return sha256.hexdigest()[:16]


def _parse(line: bytes, number: int) -> dict[str, Any]:
    try:
        log = json.loads(line)
    except ValueError:
        log = None
    if not isinstance(log, dict) or "op_code" not in log:
        raise ValueError(f"line {number} is no line of a journal")
    return log
