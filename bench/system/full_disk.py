"""Was an error caused by a full disk, even if other exceptions were raised from it?"""

import errno

from gpt.errors import MachineError

FULL = frozenset({errno.ENOSPC, errno.EROFS, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""Error numbers of a disk that can't be written to."""

_WORDS = ("No space left on device", "Read-only file system", "Disk quota exceeded")
"""Texts of the errors that libraries such as safetensors raise instead of `OSError`."""


def full_disk(error: BaseException | None) -> str:
    """The disk's error, in one line; "" if the error has another cause.

    The error's chain of causes and contexts is searched.
    """
    while error is not None:
        full = isinstance(error, OSError) and error.errno in FULL
        if full or any(word in str(error) for word in _WORDS):
            return " ".join(str(error).split())
        error = error.__cause__ or error.__context__
    return ""


def full_disk_error(said: str) -> MachineError:
    """The error to raise for what `full_disk` found."""
    return MachineError(f"the disk must take what is written but {said}\nfree some, then go on")
