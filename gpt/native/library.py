"""Are the C++ kernels here, and how are they called?

Compiled on first use, for this machine's processor, and kept in the cache under everything that
the result hangs on: the sources, the compiler and the instructions that it may use. Loaded, never
unpickled. Left out: torch's own way to build extensions, which compiles its headers for half a
minute.
"""

import ctypes
import os
import shlex
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from gpt.cache import atomic_write, default_cache, key_of
from gpt.errors import GptBenchError, InfeasibleError

SOURCES = sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in (".cpp", ".h"))
PROCESSOR = "-march=native"
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fopenmp")

REQUIRED_MACROS = ("__AVX512BF16__", "__AVX512VNNI__")
"""What a compiler defines for a processor that the kernels are written for."""

_POINTER, _INT, _SIZE, _FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float

SIGNATURES: dict[str, list[Any]] = {
    "gpt_attention": [*[_POINTER] * 3, _FLOAT, *[_SIZE] * 4, _INT],
    "gpt_attention_backward": [*[_POINTER] * 5, _FLOAT, *[_SIZE] * 4, _INT],
    "gpt_activation": [*[_POINTER] * 2, _SIZE, _INT, _POINTER, _INT],
    "gpt_activation_backward": [*[_POINTER] * 3, _SIZE, _INT, _POINTER, _INT],
    "gpt_linear": [*[_POINTER] * 3, *[_SIZE] * 3, _INT],
    "gpt_linear_backward": [*[_POINTER] * 5, *[_SIZE] * 3, _INT],
    "gpt_linear_int8": [*[_POINTER] * 3, *[_SIZE] * 3, _INT],
    "gpt_linear_int8_backward": [*[_POINTER] * 5, *[_SIZE] * 3, _INT],
    "gpt_mlp": [*[_POINTER] * 5, *[_SIZE] * 3, _INT, _POINTER, _INT],
    "gpt_mlp_backward": [*[_POINTER] * 8, *[_SIZE] * 3, _INT, _POINTER, _INT],
    "gpt_weight_gradient": [*[_POINTER] * 3, *[_SIZE] * 3, _INT],
    "gpt_norm": [*[_POINTER] * 4, *[_SIZE] * 2, _FLOAT, _INT, _INT],
    "gpt_norm_backward": [*[_POINTER] * 6, *[_SIZE] * 2, _INT, _INT],
    "gpt_blocks": [*[_POINTER] * 6, _INT],
    "gpt_blocks_backward": [*[_POINTER] * 8, _INT],
    "gpt_turn": [*[_POINTER] * 4, *[_SIZE] * 4, _FLOAT, _INT, _INT],
    "gpt_turn_backward": [*[_POINTER] * 5, *[_SIZE] * 4, _FLOAT, _INT, _INT],
    "gpt_cross_entropy": [*[_POINTER] * 5, *[_SIZE] * 2, _INT],
    "gpt_head": [*[_POINTER] * 7, *[_SIZE] * 3, _INT],
    "gpt_head_int8": [*[_POINTER] * 7, *[_SIZE] * 3, _INT],
    "gpt_norm_of_all": [*[_POINTER] * 3, _SIZE, _INT],
    "gpt_adamw": [*[_POINTER] * 6, _SIZE, *[_FLOAT] * 7, _INT],
    "gpt_look_ahead": [*[_POINTER] * 4, *[_SIZE] * 2, *[_FLOAT] * 3, _INT],
    "gpt_move": [*[_POINTER] * 4, *[_SIZE] * 2, *[_FLOAT] * 2, _INT],
    "gpt_has_tiles": [],
}
"""What each function takes; the number of threads comes last."""


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def is_here() -> bool:
    """Whether the kernels can be called on this machine."""
    return absence() is None


def takes(x: Tensor) -> bool:
    """Whether the kernels can compute with a tensor like this."""
    return x.dtype is torch.bfloat16 and x.device.type == "cpu" and is_here()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def has_tiles() -> bool:
    """Whether they are here and multiply by tiles (AMX)."""
    return is_here() and bool(library().gpt_has_tiles())


def absence() -> str | None:
    """Why the kernels are not here, in one line; None: they are."""
    found = _load()
    return found if isinstance(found, str) else None


def library() -> ctypes.CDLL:
    """The compiled kernels.

    Raises:
        InfeasibleError: they are not here.
    """
    found = _load()
    if isinstance(found, str):
        raise InfeasibleError(f"the C++ kernels must be here but {found}")
    return found


def call(function: Callable[..., None], *arguments: Any) -> None:
    """Call a kernel: of a tensor, which must be contiguous, it gets the address."""
    function(
        *(x.data_ptr() if isinstance(x, Tensor) else x for x in arguments),
        torch.get_num_threads(),
    )


@cache
def _load() -> ctypes.CDLL | str:
    """The library, or why there is none; asked once a process."""
    try:
        return _open(_build(default_cache() / "native"))
    except (OSError, subprocess.CalledProcessError, GptBenchError) as error:
        output = getattr(error, "stderr", None) or str(error)
        return next(iter(output.strip().splitlines()), type(error).__name__)


def _open(path: Path) -> ctypes.CDLL:
    """Its symbols of OpenMP are found among torch's, or this raises."""
    opened = ctypes.CDLL(str(path))
    for name, arguments in SIGNATURES.items():
        function = getattr(opened, name)
        function.argtypes, function.restype = arguments, None
    opened.gpt_has_tiles.restype = ctypes.c_int
    return opened


def _build(folder: Path) -> Path:
    """Compile, unless that was done; raises what says why it can't be."""
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    macros = _run([*compiler, PROCESSOR, "-dM", "-E", "-x", "c++", os.devnull])
    if not all(macro in macros for macro in REQUIRED_MACROS):
        raise InfeasibleError("this processor, or its compiler, has no AVX-512 bfloat16 and VNNI")
    key = key_of(torch.__version__, compiler, FLAGS, macros, *(p.read_text() for p in SOURCES))
    path = folder / f"{key}.so"
    if not path.is_file():
        with TemporaryDirectory(prefix="gpt-bench-") as scratch:
            linked, compiled = str(Path(scratch, "kernels.so")), []
            for source in (path for path in SOURCES if path.suffix == ".cpp"):
                compiled.append(str(Path(scratch, f"{source.stem}.o")))
                _run([*compiler, PROCESSOR, *FLAGS, "-c", str(source), "-o", compiled[-1]])
            # Without OpenMP: torch has loaded one.
            _run([*compiler, "-shared", *compiled, "-o", linked])
            with atomic_write(path) as file:
                file.write(Path(linked).read_bytes())
    return path


def _run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
