"""How the process of a command begins: before its imports, which take seconds.

Every module that is a command calls `begin` first of all, where it is the main one.
"""

import io
import os
import signal
import sys
from codecs import register_error
from pathlib import Path
from typing import IO

from bench.system.interruption import SIGNALS, leave

STAND_INS = {
    "±": "+/-", "×": "x", "·": "-", "−": "-", "–": "-", "—": "-", "…": "...", "²": "^2",
    "≤": "<=", "≥": ">=", "≈": "~", "→": "->", "µ": "u",
    "’": "'", "“": '"', "”": '"', "━": "-", "╸": "-", "╺": "-",
}  # fmt: skip
"""What is written where a locale has no such character."""

SPINNER = range(0x2800, 0x2900)
"""Braille, of which spinners are made."""


def begin() -> None:
    """Heed signals from now on, and write whatever the locale can't."""
    for number in SIGNALS:
        signal.signal(number, leave)
    nowhere = Path(os.devnull)
    sys.stdout, sys.stderr = (
        stream or nowhere.open("w", encoding="utf-8")  # None where the caller has closed it
        for stream in (sys.stdout, sys.stderr)
    )
    for stream in (sys.stdout, sys.stderr):
        write_in_any_locale(stream)


def write_in_any_locale(stream: IO[str]) -> None:
    """Have a stream write a stand-in for what its encoding lacks, where it would raise."""
    register_error("stand-in", _stand_in)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="stand-in")


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(map(_ascii, text)), error.end


def _ascii(character: str) -> str:
    if ord(character) in SPINNER:
        return "*"
    escaped = character.encode("ascii", "backslashreplace").decode("ascii")
    return STAND_INS.get(character, escaped)
