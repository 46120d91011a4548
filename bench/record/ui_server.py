"""MLflow's UI for a folder's store, as a process that ends with ours.

It is started the quick way, with one worker and without the jobs of MLflow's GenAI half: 5 s and 2
processes instead of 13 s and 10. It listens on this machine alone.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.system.lifeline import killed_with_parent
from bench.system.redact import redacted
from gpt.errors import MachineError

HOST = "127.0.0.1"

READY_SECONDS = 90.0
"""How long it may take to answer; on a busy machine its imports alone take half a minute."""

END_SECONDS = 5.0
"""How long its processes may take to end before they are killed."""

POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class UiServer:
    """A server that answers."""

    address: str
    _process: subprocess.Popen[bytes]
    _said: IO[bytes]

    def wait(self) -> None:
        """Wait until a signal ends the wait by an exception.

        Raises:
            MachineError: the server has ended by itself.
        """
        while self._process.poll() is None:
            time.sleep(POLL_SECONDS)
        raise _ended(self._said)


@contextmanager
def ui_server(store: str, folder: Path, port: int) -> Iterator[UiServer]:
    """Start the UI, and end it after the block.

    Args:
        store: the address of the tracking store.
        folder: where the studies were run; files that runs name relative to it are found.
        port: a free one is taken if another program has it.

    Raises:
        MachineError: it does not come to answer.
    """
    chosen = free_port(port)
    command = [sys.executable, "-m", "mlflow", "ui", "--host", HOST, "--port", str(chosen)]
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": store,  # not among the arguments, which all users see
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [*command, "--workers", "1"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end it and its workers
            preexec_fn=None if sys.platform == "win32" else killed_with_parent,
        )
        try:
            address = f"http://{HOST}:{chosen}"
            _await(f"{address}/health", process, said)
            yield UiServer(address=address, _process=process, _said=said)
        finally:
            _end(process)


def free_port(wanted: int) -> int:
    """The wanted port of this machine, or any free one if that is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            if sys.platform != "win32":  # as the server does: a port left a moment ago is free
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise MachineError(f"the UI needs a free port on {HOST} but there is none")


def _await(address: str, process: "subprocess.Popen[bytes]", said: IO[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _ended(said)
        with suppress(OSError), urllib.request.urlopen(address, timeout=1.0):
            return
        time.sleep(POLL_SECONDS)
    raise MachineError(f"MLflow's UI must answer within {READY_SECONDS:.0f} s but has not")


def _ended(said: IO[bytes]) -> MachineError:
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
    return MachineError(redacted(f"MLflow's UI must go on but has ended: {lines[-1]}"))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the server and its workers, which share a process group."""
    if sys.platform == "win32":
        process.terminate()
        process.wait()
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
    process.wait()
