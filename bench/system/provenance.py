"""What was this result made with? Code, libraries and machine; nothing of the user's environment.

Environment variables are never recorded: they hold secrets.
"""

import hashlib
import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import psutil

import gpt

LIBRARIES = ("torch", "numpy", "sentencepiece", "optuna", "mlflow-skinny", "gpt-bench")


SOURCES = (".py", ".cpp", ".h")
"""Suffixes of gpt's source files."""


@cache
def code_digest() -> str:
    """Twelve hexadecimal digits that change whenever the source of gpt does."""
    root = Path(gpt.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.suffix in SOURCES):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def git_state() -> dict[str, str]:
    """Commit of the checkout that gpt runs from, and whether it was changed since; {} outside."""
    root = Path(gpt.__file__).parents[1]
    try:
        commit = _git(root, "rev-parse", "HEAD")
        dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"git_commit": commit, "git_dirty": str(dirty).lower()}


def environment() -> dict[str, Any]:
    """The machine and the libraries, for the record of a launch."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "code": code_digest(),
        **git_state(),
        "cpu_cores": psutil.cpu_count(logical=False),
        "cpu_threads": psutil.cpu_count(logical=True),
        "memory_bytes": psutil.virtual_memory().total,
    }


@cache
def environment_digest() -> str:
    """Twelve hexadecimal digits that machines of one kind with the same libraries share.

    Times of runs with different digests are not compared.
    """
    facts = environment()
    names = ("python", "platform", "libraries", "cpu_cores", "cpu_threads", "memory_bytes")
    return digest_of(*(f"{name} {facts[name]}" for name in names))


@cache
def uncommitted_changes() -> str:
    """What the checkout that gpt runs from has changed since its commit; "" if nothing."""
    if git_state().get("git_dirty") != "true":
        return ""
    return _git(Path(gpt.__file__).parents[1], "diff", "HEAD")


def of_runs(corpora: Mapping[str, str]) -> dict[str, str]:
    """What runs must share to be compared: name -> digest.

    Args:
        corpora: name -> SHA-256 of the raw text.
    """
    texts = {f"text {name}": digest[:12] for name, digest in sorted(corpora.items())}
    return {"code": code_digest(), **texts}


def digest_of(*parts: str) -> str:
    """Twelve hexadecimal digits that identify a sequence of texts."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(
        command, capture_output=True, check=True, encoding="utf-8", errors="replace"
    ).stdout.strip()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
