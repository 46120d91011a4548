"""The process that workers are forked from, with torch imported: when does it start?

A command imports for seconds before it has a worker to start. Meanwhile, on another core, this
process can import the same. On Linux alone: elsewhere, workers are started afresh.
"""

import multiprocessing
import os
import sys
import tempfile
from multiprocessing import resource_tracker, util
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from bench.system.interruption import kept_from_children

if TYPE_CHECKING:  # Windows has but one of them
    from multiprocessing.context import ForkServerContext, SpawnContext

PRELOADED = ["bench.run.preload"]

SHORT = "/tmp"
LONGEST_BYTES = 107 - len("/pymp-xxxxxxxx/listener-xxxxxxxx")
"""Of the folder for temporary files: what a socket's name has room for beside Python's own."""


def start() -> None:
    """Start it now, if it isn't there; this returns at once. For the main thread."""
    if sys.platform == "linux":
        from multiprocessing import forkserver

        context()
        _make_sockets_fit()
        resource_tracker.ensure_running()  # by itself: it unblocks signals
        with kept_from_children():
            forkserver.ensure_running()


def _make_sockets_fit() -> None:
    """Put sockets into `SHORT` if `TMPDIR` is too long for their names, as Python 3.14 does."""
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST_BYTES:
        named, tempfile.tempdir = tempfile.tempdir, SHORT
        try:
            util.get_temp_dir()  # which it stays from here on
        finally:
            tempfile.tempdir = named


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
