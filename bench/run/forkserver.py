"""The process that workers are forked from, with torch imported: when does it start?

A command imports for seconds before it has a worker to start. Meanwhile, on another core, this
process can import the same. On Linux alone: elsewhere, workers are started afresh.
"""

import multiprocessing
import sys
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from bench.system.interruption import kept_from_children

if TYPE_CHECKING:  # Windows has but one of them
    from multiprocessing.context import ForkServerContext, SpawnContext

PRELOADED = ["bench.run.preload"]


def start() -> None:
    """Start it now, if it isn't there; this returns at once. For the main thread."""
    if sys.platform == "linux":
        from multiprocessing import forkserver

        context()
        resource_tracker.ensure_running()  # by itself: it unblocks signals
        with kept_from_children():
            forkserver.ensure_running()


def context() -> "ForkServerContext | SpawnContext":
    """How workers are made; the first one starts the process, unless `start` did."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    return made


def start_worker(process: BaseProcess) -> None:
    """Start a process of that context; returns when it is there. For the main thread."""
    if sys.platform == "linux":
        start()  # if it isn't there any more
        process.start()
    else:
        with kept_from_children():
            process.start()
