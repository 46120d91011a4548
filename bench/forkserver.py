"""The process that workers are forked from, with torch imported: when does it start?

A command imports for seconds before it has a worker to start. Meanwhile, on another core, this
process can import the same. On Linux alone: elsewhere, workers are started afresh.
"""

import multiprocessing
import signal
import sys
from multiprocessing import forkserver
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Windows has but one of them
    from multiprocessing.context import ForkServerContext, SpawnContext

PRELOADED = ["bench.work"]
"""What is imported there, once for all workers."""


def start() -> None:
    """Start it now, if it isn't there; this returns at once. For the main thread.

    A Ctrl-C is the command's to heed: while it imports, this process would say what it was at.
    """
    if sys.platform == "linux":
        context()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, before)


def context() -> "ForkServerContext | SpawnContext":
    """How workers are made; the first one starts the process, unless `start` did."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    return made
