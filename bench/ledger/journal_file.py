"""Is a ledger's file undamaged? Each line carries a digest of itself and all lines before it.

So a removed, added or changed line is found when the file is read, and a damaged file is never
appended to. Half a line at the end, as a killed process may leave it, is cut off; no complete line
is lost by that. Not done here: locking, which `bench.ledger.journal` does; and noticing that whole
lines are missing at the end, which a comparison with MLflow's record shows.
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
    """A line would be written to a journal that was opened for reading only."""


class JournalFile(BaseJournalBackend):
    """The lines of a journal, read once and kept in memory; appended lines are synced to disk.

    Lines without a digest, which earlier versions wrote, may precede those with one.

    Args:
        path: a missing file is an empty journal; the first line creates it. Half a line at its end
            is ignored, and cut off when the next line is written.
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
                raise ValueError(f"line {number} has no digest: it was added, or cut short")
            if seal is not None and seal[2].decode() != self._seal(seal[1]):
                raise ValueError(
                    f"line {number} does not follow those before it: one was removed or changed"
                )
            sealed = seal is not None
            self._logs.append(_parse(line, number))
            self._sha256.update(line + b"\n")
        if not torn.startswith(_LINE_START[: len(torn)]):
            raise ValueError(f"line {len(lines) + 1}, its last, is not a line of a journal")
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
        raise ValueError(f"line {number} is not a line of a journal")
    return log
