"""A process ends with the one that asked for it, in whatever it is at."""

import subprocess
import sys

import psutil
import pytest
from workplace import gone

PARENT = """
import multiprocessing, os, subprocess, time
from bench.system.lifeline import end_with_parent, killed_with_parent

def worker():
    end_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(600)

def other_program():
    sleep = subprocess.Popen(["sleep", "600"], preexec_fn=killed_with_parent)
    print(sleep.pid, flush=True)
    sleep.wait()

if __name__ == "__main__":
    {start}
    time.sleep(600)
"""

WORKER = 'multiprocessing.get_context("fork").Process(target=worker).start()'


@pytest.mark.parametrize(
    "start",
    [
        WORKER,
        pytest.param(
            "other_program()",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux's alone"),
        ),
    ],
)
def test_none_outlives_a_kill(start: str) -> None:
    command = [sys.executable, "-c", PARENT.format(start=start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert gone([child])
