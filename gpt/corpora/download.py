"""How does a known text get here, and is it the right one?

A text is identified by its SHA-256. It is taken from a folder of local copies, where its file name
counts, else from the cache, else from the network. A file with another checksum is never used.
"""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pooch
import requests

from gpt.cache import cache_errors
from gpt.corpora.corpus import BLOCK_BYTES
from gpt.errors import DataError

TIMEOUT_SECONDS = 30

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A text that is downloaded once."""

    file: str
    """Its name in a folder of local copies, and in the cache."""

    url: str
    """Where it is downloaded from."""

    sha256: str
    """What it must be."""


SOURCES = {
    "tinyshakespeare": Source(
        file="tinyshakespeare.txt",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/"
        "tinyshakespeare/input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
    "don_quixote": Source(
        file="don_quixote.txt",
        url="https://raw.githubusercontent.com/nvilacla04/quixote-gpt/main/don-quixote.txt",
        sha256="cccdfc63500c5dc6a3208b8489561c5be3bf9980d646bef891c61b4aa67b200a",
    ),
}


def fetch(source: Source, *, corpora_dir: Path | None, cache: Path) -> Path:
    """The file of a known text, from the local folder, the cache or the network.

    Raises `DataError` if a copy has another checksum, or none can be had.
    """
    if corpora_dir is not None and (local := corpora_dir / source.file).is_file():
        _check(local, source, came_from=str(local))
        return local
    pooch.get_logger().setLevel(logging.WARNING)
    path = cache / "corpora" / source.file
    with cache_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and pooch.file_hash(path) != source.sha256:
            log.warning("the cached corpus %s is damaged: it is downloaded again", path)
        pooch.retrieve(
            source.url,
            known_hash=source.sha256,
            fname=path.name,
            path=path.parent,
            downloader=partial(_download, source),
        )
    return path


def _download(source: Source, url: str, output_file: str, _: pooch.Pooch | None) -> None:
    """Download to a temporary name; pooch renames it if this returns, or else deletes it."""
    try:
        with (
            requests.get(url, stream=True, timeout=TIMEOUT_SECONDS) as response,
            Path(output_file).open("wb") as file,
        ):
            response.raise_for_status()
            file.writelines(response.iter_content(BLOCK_BYTES))
    except requests.RequestException as error:
        raise DataError(
            f"{source.file} must be downloaded from {url} but got {type(error).__name__}\n"
            "put a copy into a folder and name it with --corpora-dir, or use the embedded corpus "
            "pydocs, which needs no network"
        ) from error
    _check(Path(output_file), source, came_from=url)


def _check(path: Path, source: Source, *, came_from: str) -> None:
    found = pooch.file_hash(path)
    if found == source.sha256:
        return
    with path.open("rb") as file:
        is_page = file.read(256).lstrip().lower().startswith((b"<!doctype html", b"<html"))
    raise DataError(
        f"{source.file} must have SHA-256 {source.sha256} but {came_from} has {found}"
        f"{' (it is an HTML page)' if is_page else ''}\n"
        "it was not used: put the right file into a folder and name it with --corpora-dir"
    )
