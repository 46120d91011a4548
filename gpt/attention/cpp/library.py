"""Compile and load the C++ kernel when it is first called.

The cache keeps the library under a key of all that it depends on: the sources, the compiler, its
flags and the processor's instructions. One process compiles while others that need it wait. (The
way that torch builds extensions compiles its headers for half a minute.)
"""

import ctypes
import os
import re
import shlex
import subprocess
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from gpt.cache import cache_errors, default_cache, entry, key_of
from gpt.errors import GptBenchError, InfeasibleError

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "attention.cpp"
PROCESSOR = "-march=native"
LIBRARY_FILE = "kernel.so"
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fopenmp")

REQUIRED_MACRO = "__AVX512BF16__"
"""What a compiler defines for a processor that the kernel is written for."""

C_TYPES = {"float": ctypes.c_float, "int64_t": ctypes.c_int64, "int": ctypes.c_int}
"""Of the arguments that are no pointers."""


def signatures(source: str) -> dict[str, list[Any]]:
    """The functions that a C++ source offers to Python, and the types of their arguments."""
    return {
        name: [_c_type(argument) for argument in arguments.split(",")]
        for name, arguments in re.findall(r"^void (gpt_\w+)\(([^)]*)\)", source, re.MULTILINE)
    }


def _c_type(argument: str) -> Any:
    return ctypes.c_void_p if "*" in argument else C_TYPES[argument.split()[0]]


def library() -> ctypes.CDLL:
    """The compiled kernel.

    Raises:
        InfeasibleError: it can't be compiled or loaded here.
    """
    found = _load()
    if isinstance(found, str):
        raise InfeasibleError(f"the C++ kernel must be compiled for this machine but {found}")
    return found


@cache
def _load() -> ctypes.CDLL | str:
    """The library, or why there is none; asked once a process."""
    try:
        return _open(_build(default_cache() / "native"))
    except (OSError, subprocess.CalledProcessError, GptBenchError) as error:
        output = getattr(error, "stderr", None) or str(error)
        return next(iter(output.strip().splitlines()), type(error).__name__)


def _open(path: Path) -> ctypes.CDLL:
    """Load the library. It was linked without OpenMP, and uses the one that torch has loaded."""
    opened = ctypes.CDLL(str(path))
    for name, arguments in signatures(SOURCE.read_text("utf-8")).items():
        function = getattr(opened, name)
        function.argtypes, function.restype = arguments, None
    return opened


def _build(folder: Path) -> Path:
    """Compile the library unless the cache has it."""
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    macros = _run([*compiler, PROCESSOR, "-dM", "-E", "-x", "c++", os.devnull])
    if REQUIRED_MACRO not in macros:
        raise InfeasibleError("this processor, or its compiler, has no AVX-512 bfloat16")
    sources = sorted(path for path in FOLDER.iterdir() if path.suffix in (".cpp", ".h"))
    key = key_of(
        torch.__version__, compiler, FLAGS, macros, *(p.read_text("utf-8") for p in sources)
    )
    library = folder / key
    with cache_errors(library):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(library.with_suffix(".lock")):
        return entry(library, partial(_compile, compiler)) / LIBRARY_FILE


def _compile(compiler: list[str], folder: Path) -> None:
    compiled = folder / "kernel.o"
    _run([*compiler, PROCESSOR, *FLAGS, "-c", str(SOURCE), "-o", str(compiled)])
    _run([*compiler, "-shared", str(compiled), "-o", str(folder / LIBRARY_FILE)])
    compiled.unlink()


def _run(command: list[str]) -> str:
    return subprocess.run(
        command, capture_output=True, check=True, encoding="utf-8", errors="replace"
    ).stdout
