"""What is a corpus, once it is found: one file of valid UTF-8, its digest and its splits.

The text is split on raw bytes, at a character boundary. It is read in binary and decoded here, so
that line ends, NUL and a byte-order mark stay as they are; and in a stream, so that its size does
not matter.
"""

import codecs
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from gpt.config.corpus import CorpusConfig
from gpt.errors import ConfigError, DataError

Split = Literal["train", "val", "test"]

BLOCK_BYTES = 1 << 20
PLACES = 16
"""Of which an excerpt is made."""

LONGEST_CHARACTER_BYTES = 4


class Span(NamedTuple):
    """The bytes [start, stop) of a corpus file; both ends lie between characters."""

    start: int
    stop: int

    @property
    def n_bytes(self) -> int:
        """Length in bytes."""
        return self.stop - self.start


@dataclass(frozen=True)
class Corpus:
    """A text on disk that has been read through once and found to be valid UTF-8."""

    name: str
    """What reports call it; letters, digits, dots, dashes and underscores."""

    path: Path
    """The file with the raw bytes."""

    digest: str
    """SHA-256 of the raw bytes, in hexadecimal."""

    n_bytes: int
    """Length of the whole text."""

    splits: Mapping[Split, Span]
    """Which bytes belong to which split."""

    degenerate: bool
    """Whether the text is one distinct character, over and over."""

    stamp: tuple[int, int] | None = None
    """Size and time of the last change of the file that was read through; None: not kept."""

    def split(self, name: Split) -> Span:
        """The byte range of a split."""
        return self.splits[name]

    def read(self, span: Span) -> str:
        """The text of a span, at once; for spans that fit into memory."""
        return "".join(self.chunks(span))

    def chunks(self, span: Span, n_bytes: int = BLOCK_BYTES) -> Iterator[str]:
        """The text of a span, at most `n_bytes` at a time; joined, the chunks are the text.

        A chunk ends after its last newline, or between two characters where it has none.

        Raises `DataError` if the file can't be read, or is not the one that was read through.
        """
        if n_bytes < LONGEST_CHARACTER_BYTES:
            raise ConfigError(
                f"a chunk must hold {LONGEST_CHARACTER_BYTES} bytes or more but got {n_bytes}"
            )
        try:
            with self.path.open("rb") as file:
                self._refuse_changed(file)
                start = span.start
                while start < span.stop:
                    file.seek(start)
                    block = file.read(min(n_bytes + 1, span.stop - start))
                    if len(block) > n_bytes:
                        newline = block.rfind(b"\n", 0, n_bytes)
                        block = block[: newline + 1 or character_start(block, n_bytes)]
                    self._refuse_changed(file)
                    yield block.decode()
                    start += len(block)
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def excerpt(self, span: Span, n_bytes: int) -> str:
        """At most `n_bytes` of a span's text, all of it if there is no more.

        It is taken from `PLACES` that lie evenly over the span, in their order: whole lines, or
        characters where lines are too long.

        Raises `DataError` if the file can't be read, or is not the one that was read through.
        """
        if span.n_bytes <= n_bytes:
            return self.read(span)
        pieces = []
        for place in range(PLACES):
            try:
                start = _character_start_in(self.path, span.start + place * span.n_bytes // PLACES)
            except OSError as error:
                raise _unreadable(self.path, error) from error
            piece = next(self.chunks(Span(start, span.stop), n_bytes // PLACES))
            _, _, lines = piece.partition("\n")  # the first one began earlier
            pieces.append(lines or piece)
        return "".join(pieces)

    def _refuse_changed(self, file: BinaryIO) -> None:
        if self.stamp not in (None, _stamp(file)):
            raise DataError(
                f"a corpus must stay as it is while it is in use but {self.path} was changed: "
                "run the command again"
            )


def open_corpus(name: str, path: Path, config: CorpusConfig) -> Corpus:
    """Read a file through once, check it, and split it: training part, validation, test.

    Raises `DataError` if the file can't be read, is not UTF-8, or has no text in it.
    """
    try:
        with path.open("rb") as file:
            stamp = _stamp(file)
        digest, n_bytes, degenerate = _scan(path)
        test = _character_start_in(path, int(n_bytes * (1 - config.test_fraction)))
        val = _character_start_in(
            path, int(n_bytes * (1 - config.val_fraction - config.test_fraction))
        )
    except OSError as error:
        raise _unreadable(path, error) from error
    splits: dict[Split, Span] = {"train": Span(0, val), "val": Span(val, test)}
    if config.test_fraction:
        splits["test"] = Span(test, n_bytes)
    if not all(span.n_bytes for span in splits.values()):
        raise DataError(
            f"each split must hold text but {path} has {n_bytes} bytes: give a longer text"
        )
    return Corpus(name, path, digest, n_bytes, splits, degenerate, stamp)


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"a corpus must be a readable file but got {path}: {error}")


def character_start(block: bytes, index: int) -> int:
    """The start of the character that the byte at `index` belongs to, in valid UTF-8."""
    while 0 < index < len(block) and block[index] & 0b1100_0000 == 0b1000_0000:
        index -= 1
    return index


def _character_start_in(path: Path, index: int) -> int:
    start = max(0, index - LONGEST_CHARACTER_BYTES)
    with path.open("rb") as file:
        file.seek(start)
        return start + character_start(file.read(LONGEST_CHARACTER_BYTES + 1), index - start)


def _scan(path: Path) -> tuple[str, int, bool]:
    """Digest, length in bytes, and whether there is one distinct character, in one pass."""
    sha256 = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    n_bytes, first, blank, degenerate = 0, "", True, True
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            sha256.update(block)
            text = decode(decoder, block, n_bytes, path)
            n_bytes += len(block)
            first = first or text[:1]
            blank = blank and not text.strip()
            degenerate = degenerate and text.count(first) == len(text)
        decode(decoder, b"", n_bytes, path)
    if blank:
        raise DataError(
            f"a corpus must hold text but {path} has {n_bytes} bytes, "
            f"{'all of them white space' if n_bytes else 'it is empty'}: name another corpus"
        )
    return sha256.hexdigest(), n_bytes, degenerate


def decode(
    decoder: codecs.IncrementalDecoder, block: bytes, n_bytes_before: int, path: Path
) -> str:
    """The next block of a file's text, an empty one being its end.

    Raises `DataError`, with the offset in the file, where it is not UTF-8.
    """
    carried = len(decoder.getstate()[0])  # bytes of a character that the last block began
    try:
        return decoder.decode(block, final=not block)
    except UnicodeDecodeError as error:
        offset = n_bytes_before - carried + error.start
        raise DataError(
            f"a corpus must be UTF-8 but {path} is not at byte offset {offset} "
            f"(0x{error.object[error.start]:02x}, {error.reason})\n"
            "convert it first, for example with iconv -t UTF-8"
        ) from error
