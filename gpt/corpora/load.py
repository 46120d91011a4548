"""From the name in a config to a text on this machine."""

import os
import re
from difflib import get_close_matches
from pathlib import Path

from gpt.config.corpus import CorpusConfig
from gpt.corpora.corpus import Corpus, open_corpus
from gpt.corpora.download import SOURCES, fetch
from gpt.corpora.folder import join_folder
from gpt.corpora.pydocs import NAME as PYDOCS_NAME
from gpt.corpora.pydocs import pydocs
from gpt.errors import ConfigError, DataError

KNOWN = ("pydocs", *SOURCES)
"""The corpora that have a name; any other is a path."""

CORPORA_VARIABLE = "GPT_BENCH_CORPORA"


def load_corpus(config: CorpusConfig, *, corpora_dir: Path | None = None, cache: Path) -> Corpus:
    """Find the text that `config` names, read it through once, and split it.

    `corpora_dir` (else the folder that GPT_BENCH_CORPORA names) holds local copies of the texts
    that would be downloaded. Raises `ConfigError` if there is no such corpus, `DataError` if its
    text is wrong or can't be had.
    """
    name, path = _find(config.name, _local_copies(corpora_dir), cache)
    return open_corpus(name, path, config)


def _local_copies(corpora_dir: Path | None) -> Path | None:
    named = corpora_dir or os.environ.get(CORPORA_VARIABLE) or None
    if named is None:
        return None
    if not _exists(folder := Path(named)):
        raise ConfigError(
            f"--corpora-dir (or {CORPORA_VARIABLE}) must be an existing folder but got {folder}"
        )
    return folder


def _find(name: str, corpora_dir: Path | None, cache: Path) -> tuple[str, Path]:
    if name == "pydocs":
        return PYDOCS_NAME, pydocs(cache)
    if name in SOURCES:
        return name, fetch(SOURCES[name], corpora_dir=corpora_dir, cache=cache)
    path = Path(name)
    if not _exists(path):
        raise ConfigError(_unknown(name))
    shown = re.sub(r"[^A-Za-z0-9._-]", "_", path.resolve().name)[:80]
    if path.is_dir():
        return shown, join_folder(path, cache)
    if not path.is_file():
        raise DataError(f"a corpus must be a file or a folder but {name} is neither")
    return shown, path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that the file system refuses, such as one that is too long
        return False


def _unknown(name: str) -> str:
    nearest = get_close_matches(name, KNOWN, n=1)
    guess = f"; did you mean {nearest[0]}?" if nearest else ""
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    return (
        f"corpus must be one of {', '.join(KNOWN)}, or an existing path, but got {shown!r}{guess}"
    )
