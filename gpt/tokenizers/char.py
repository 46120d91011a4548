"""A token is a character of the training text, in sorted order, as in the originals.

A character that the training text lacks is spelled as its UTF-8 bytes, with 256 more tokens, or
refused. Trained on "hello" with the fallback, V = 4 + 256 and the ids are

    e 0   h 1   l 2   o 3   byte 0x00 4   byte 0x01 5   ...   byte 0xff 259

so that "hé" is [1, 4 + 0xc3, 4 + 0xa9] = [1, 199, 173].
"""

from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gpt.errors import DataError
from gpt.tokenizers.base import JSON_FILE, TokenArray, Tokenizer, to_json

UNSEEN = -1


class CharTokenizer(Tokenizer):
    """One id a character; with `byte_fallback` 256 more, one a byte."""

    def __init__(self, characters: str, *, byte_fallback: bool) -> None:
        fallback = [bytes([byte]) for byte in range(256)] if byte_fallback else []
        super().__init__("char", [character.encode() for character in characters] + fallback)
        self._characters = characters
        self._byte_fallback = byte_fallback

    @classmethod
    def train(cls, chunks: Iterable[str], *, byte_fallback: bool) -> "CharTokenizer":
        """The tokenizer of the characters that occur."""
        seen: set[str] = set()
        for chunk in chunks:
            seen.update(chunk)
        return cls("".join(sorted(seen)), byte_fallback=byte_fallback)

    def encode(self, text: str) -> TokenArray:
        """One id a character, or one a byte for a character without an id.

        Raises `DataError` for such a character if there is no byte fallback.
        """
        code_points = _code_points(text)
        ids = self._id_of[np.minimum(code_points, len(self._id_of) - 1)]
        unseen = ids == UNSEEN
        if not unseen.any():
            return ids.astype(self.dtype)
        spelled = code_points[unseen].tobytes().decode("utf-32-le")
        if not self._byte_fallback:
            raise DataError(
                f"a char tokenizer without byte_fallback must have seen every character but got "
                f"{spelled[0]!r} (U+{ord(spelled[0]):04X}), which the training text lacks\n"
                "--set byte_fallback=True spells such characters in bytes"
            )
        lengths = np.where(unseen, _utf8_length(code_points), 1)
        spelled_out = np.repeat(unseen, lengths)
        out = np.empty(len(spelled_out), dtype=self.dtype)
        out[~spelled_out] = ids[~unseen]
        out[spelled_out] = len(self._characters) + np.frombuffer(
            spelled.encode(), dtype=np.uint8
        ).astype(self.dtype)
        return out

    def files(self) -> Mapping[str, bytes]:
        """The characters, and whether there is a fallback."""
        return {
            JSON_FILE: to_json(
                kind=self.kind, characters=self._characters, byte_fallback=self._byte_fallback
            )
        }

    @cached_property
    def _id_of(self) -> npt.NDArray[np.int32]:
        """Id by code point; the last entry, past every known character, is UNSEEN."""
        code_points = _code_points(self._characters)
        table = np.full(int(code_points.max(initial=0)) + 2, UNSEEN, dtype=np.int32)
        table[code_points] = np.arange(len(code_points), dtype=np.int32)
        return table


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


def _utf8_length(code_points: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    """Bytes of each character in UTF-8 (RFC 3629, section 3)."""
    return 1 + np.searchsorted([0x80, 0x800, 0x1_0000], code_points, side="right")
