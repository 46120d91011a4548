"""No process outlives the command that started it, however that ended: by `kill -9` too.

A worker notices that its pipe has no other end when it next sends, and in the midst of a tokenizer
or an evaluation that may be long after. So each has a thread that waits for the end of the parent.
A process that is busy importing, or that is not ours, is ended by the system itself (Linux).
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from functools import cache

PR_SET_PDEATHSIG = 1  # of linux/prctl.h


def end_with_parent() -> None:
    """From now on a process of `multiprocessing` ends when the process that asked for it does."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def killed_with_parent() -> None:
    """From now on the system kills this process when its parent dies; Linux alone.

    More exactly, when the thread that forked it does. It may be called between fork and exec, and
    holds for the new program.
    """
    if (libc := _libc()) is not None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@cache
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
