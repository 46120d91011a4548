"""How does a folder of text files become one text?

All its `.txt` files, at any depth, are joined in the sorted order of their relative paths, with a
newline between two where the first does not end with one. Hidden files and folders, whose names
begin with a dot, are left out. The cache keeps the joined file, by the paths, sizes and times of
change of its parts, so that an unchanged folder is not read twice.
"""

import codecs
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from gpt.cache import entry, key_of
from gpt.corpora.corpus import BLOCK_BYTES, decode
from gpt.errors import DataError

JOINED_FILE = "text.txt"


def join_folder(folder: Path, cache: Path) -> Path:
    """The file with the joined text.

    Raises `DataError` if the folder holds no `.txt` file, or one that leads out of it or is not
    UTF-8.
    """
    root = folder.resolve()
    files = sorted(root.rglob("*.txt"), key=lambda file: file.relative_to(root).as_posix())
    files = [file for file in files if file.is_file() and not _is_hidden(file, root)]
    if not files:
        raise DataError(
            f"a corpus folder must hold .txt files that are not hidden but {folder} has none"
        )
    for file in files:
        if not file.resolve().is_relative_to(root):
            raise DataError(
                f"the files of a corpus folder must lie in it but {file} leads to "
                f"{file.resolve()}: copy it there"
            )
    key = key_of(str(root), [_listing(file) for file in files])
    return entry(cache / "corpora" / f"folder-{key}", partial(_join, files)) / JOINED_FILE


def _join(files: list[Path], folder: Path) -> None:
    with (folder / JOINED_FILE).open("wb") as joined:
        joined.writelines(_blocks(files))


def _is_hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def _listing(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return str(file), status.st_size, status.st_mtime_ns


def _blocks(files: list[Path]) -> Iterator[bytes]:
    last = b"\n"
    for file in files:
        if not last.endswith(b"\n"):
            last = b"\n"
            yield last
        decoder, n_bytes = codecs.getincrementaldecoder("utf-8")(), 0
        try:
            with file.open("rb") as part:
                while block := part.read(BLOCK_BYTES):
                    decode(decoder, block, n_bytes, file)
                    n_bytes += len(block)
                    yield block
                    last = block
            decode(decoder, b"", n_bytes, file)
        except OSError as error:
            raise DataError(f"a corpus file must be readable but got: {error}") from error
