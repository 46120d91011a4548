"""Which English text is on every machine that can run this? Python's own documentation.

The language reference (`pydoc_data.topics`) and the docstrings of the standard library, about
2 MB of technical prose. The library is read from its source and never imported. Tests, bundled
tools and packages that newer Pythons dropped are left out, so that versions differ little; they
do differ, which is why the name says the version and the digest is over the bytes.
"""

import ast
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from pydoc_data.topics import topics

from gpt.cache import entry, key_of
from gpt.errors import DataError

NAME = f"pydocs-{sys.version_info.major}.{sys.version_info.minor}"
LEFT_OUT = {
    *("distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "turtledemo"),
    *("test", "tests", "site-packages", "dist-packages"),
}
LEAST_BYTES = 1_000_000
FILE = "text.txt"


def pydocs(cache: Path) -> Path:
    """The file with the text of the running Python, from the cache.

    Raises `DataError` where this Python came without its source.
    """
    recipe = key_of(sys.version, Path(__file__).read_text("utf-8"))
    return entry(cache / "corpora" / f"{NAME}-{recipe}", _make) / FILE


def _make(folder: Path) -> None:
    stdlib = Path(sysconfig.get_path("stdlib"))
    text = "\n\n".join(_distinct(stdlib)).encode("utf-8", errors="replace") + b"\n"
    if len(text) < LEAST_BYTES:
        raise DataError(
            f"pydocs needs the source of the standard library but {stdlib} gave only "
            f"{len(text)} bytes of text: name another corpus"
        )
    (folder / FILE).write_bytes(text)


def _distinct(stdlib: Path) -> Iterator[str]:
    """Every text once, page by page.

    Pages come in the order of the hash of their names: shuffled, so that the held-out end is
    like the rest; the same on every machine; and each page in one piece.
    """
    pages = {f"topic {name}": [text.strip()] for name, text in topics.items()}
    for path in stdlib.rglob("*.py"):
        relative = path.relative_to(stdlib)
        if LEFT_OUT.isdisjoint(relative.parts):
            pages[relative.as_posix()] = list(_docstrings(path.read_bytes()))
    seen = {""}
    for name in sorted(pages, key=lambda name: sha256(name.encode()).digest()):
        for text in pages[name]:
            if text not in seen:
                seen.add(text)
                yield text


def _docstrings(source: bytes) -> Iterator[str]:
    """The docstrings of a module, its classes and its functions, from the outside in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in old modules
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
