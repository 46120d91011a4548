"""Did a run fail for lack of memory? Each library reports that in its own words."""

import errno
import traceback

import torch

_WORDS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",  # on Windows
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
)
"""Texts of plain `RuntimeError`s of torch that mean it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or the machine, has no memory left."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)
    )


def free_memory_of(error: BaseException) -> None:
    """Free what the failed run's frames hold, and what torch's allocator caches."""
    traceback.clear_frames(error.__traceback__)
    torch.cuda.empty_cache()
