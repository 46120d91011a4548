"""The fork server: a process that has torch imported, from which workers are forked.

A command spends seconds on imports before it starts workers. The fork server is started first, and
imports the same modules on another core meanwhile. Linux only: elsewhere workers are spawned.
"""

import multiprocessing
import os
import sys
import tempfile
from multiprocessing import resource_tracker, util
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from bench.system.interruption import kept_from_children

if TYPE_CHECKING:  # Windows has only SpawnContext
    from multiprocessing.context import ForkServerContext, SpawnContext

PRELOADED = ["bench.run.preload"]

SHORT = "/tmp"
LONGEST_BYTES = 107 - len("/pymp-xxxxxxxx/listener-xxxxxxxx")
"""Longest path of the temporary folder that leaves room for Python's part of a socket's name."""


def start() -> None:
    """Start the server if it isn't running, without waiting. Call it from the main thread."""
    if sys.platform == "linux":
        from multiprocessing import forkserver

        context()
        _make_sockets_fit()
        resource_tracker.ensure_running()  # first, as it unblocks signals
        with kept_from_children():
            forkserver.ensure_running()


def _make_sockets_fit() -> None:
    """Put sockets into `SHORT` if `TMPDIR` is too long for their names, as Python 3.14 does."""
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST_BYTES:
        named, tempfile.tempdir = tempfile.tempdir, SHORT
        try:
            util.get_temp_dir()  # multiprocessing remembers it from here on
        finally:
            tempfile.tempdir = named


def context() -> "ForkServerContext | SpawnContext":
    """The multiprocessing context of workers; the first worker starts the server if needed."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(PRELOADED)
    return made


def start_worker(process: BaseProcess) -> None:
    """Start a process of that context. Call it from the main thread."""
    if sys.platform == "linux":
        start()  # the server may have ended
        process.start()
    else:
        with kept_from_children():
            process.start()
