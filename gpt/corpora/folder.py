"""How does a folder of text files become one text?

All its `.txt` files, at any depth, in the sorted order of their relative paths, with a newline
between two where the first does not end with one. They are copied in a stream into one file of
the cache, named after what the listing says of them (path, size, time of change), so that a
changed folder is another file and an unchanged one is not read twice.
"""

from collections.abc import Iterator
from pathlib import Path

from gpt.cache import atomic_write, key_of
from gpt.corpora.corpus import BLOCK_BYTES
from gpt.errors import DataError


def join_folder(folder: Path, cache: Path) -> Path:
    """The file with the joined text.

    Raises `DataError` if the folder holds no `.txt` file, or one that leads out of it.
    """
    root = folder.resolve()
    files = sorted(root.rglob("*.txt"), key=lambda file: file.relative_to(root).as_posix())
    files = [file for file in files if file.is_file()]
    if not files:
        raise DataError(f"a corpus folder must hold .txt files but {folder} has none")
    for file in files:
        if not file.resolve().is_relative_to(root):
            raise DataError(
                f"the files of a corpus folder must lie in it but {file} leads to "
                f"{file.resolve()}: copy it there"
            )
    path = cache / "corpora" / f"folder-{key_of(str(root), [_listing(f) for f in files])}.txt"
    if not path.is_file():
        with atomic_write(path) as joined:
            joined.writelines(_blocks(files))
    return path


def _listing(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return str(file), status.st_size, status.st_mtime_ns


def _blocks(files: list[Path]) -> Iterator[bytes]:
    last = b"\n"
    for file in files:
        if not last.endswith(b"\n"):
            last = b"\n"
            yield last
        try:
            with file.open("rb") as part:
                while block := part.read(BLOCK_BYTES):
                    yield block
                    last = block
        except OSError as error:
            raise DataError(f"a corpus file must be readable but got: {error}") from error
