"""What a command's process does before its slow imports: it prepares signals and output streams.

Every module that can be run as a command calls `begin` before its imports when it is `__main__`.
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
    "│": "|", "␣": "_", "⏎": "\\n", "␍": "\\r", "⇥": "\\t",
    "’": "'", "“": '"', "”": '"', "━": "-", "╸": "-", "╺": "-",
}  # fmt: skip
"""ASCII text that is written where the encoding of the locale lacks the character."""

SPINNER = range(0x2800, 0x2900)
"""Code points of the Braille patterns that progress spinners consist of."""


def begin() -> None:
    """Handle signals from now on, and let streams replace characters that the locale lacks."""
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
    """Make a stream replace characters that its encoding lacks, instead of raising."""
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
