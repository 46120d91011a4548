"""Is a full disk behind this error, whatever was raised on its heels?"""

import errno

from gpt.errors import MachineError

FULL = frozenset({errno.ENOSPC, errno.EROFS, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""What a disk says that can't take more."""

_WORDS = ("No space left on device", "Read-only file system", "Disk quota exceeded")
"""The same in what libraries raise instead, such as safetensors."""


def full_disk(error: BaseException | None) -> str:
    """What the disk said, in one line; "" if the error has another reason.

    The error itself is looked at, then what it was raised from, or in the handling of.
    """
    while error is not None:
        full = isinstance(error, OSError) and error.errno in FULL
        if full or any(word in str(error) for word in _WORDS):
            return " ".join(str(error).split())
        error = error.__cause__ or error.__context__
    return ""


def full_disk_error(said: str) -> MachineError:
    """How a person is told what the disk said."""
    return MachineError(f"the disk must take what is written but {said}\nfree some, then go on")
