"""How child processes end when their command ends, even if that was by `kill -9`.

A worker would notice a closed pipe only when it next sends, which may be minutes later in the
middle of an evaluation. So each worker has a thread that waits for the parent to end. A process
that is still importing, or that runs another program, is killed by the kernel (Linux only).
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
    """End this process of `multiprocessing` when the process that started it ends."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def killed_with_parent() -> None:
    """Have the kernel kill this process when its parent dies; on Linux only.

    More exactly, when the thread that forked it ends. The function may be called between fork and
    exec, and its effect lasts after exec.
    """
    if (libc := _libc()) is not None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@cache
def _libc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
