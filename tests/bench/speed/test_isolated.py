"""Ways that are timed, each in a process of its own: what they answer, and how they end.

Each process imports this module, so it imports little.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial

import psutil
import pytest

from bench.speed.isolated import Lane
from bench.system.interruption import Stopped, raised
from gpt.errors import ConfigError, MachineError

pytestmark = pytest.mark.slow


def numbers(n: int) -> Iterator[int]:
    if n < 0:
        raise ConfigError(f"n must not be negative but got {n}")
    yield from (os.getpid(), n)


def test_a_lane_works_in_a_process_of_its_own() -> None:
    with Lane(partial(numbers, 3)) as a, Lane(partial(numbers, 4), as_worker=True) as b:
        assert len({os.getpid(), a(), b()}) == 3
        assert (a(), b()) == (3, 4)


def at_work() -> Iterator[int]:
    yield os.getpid()
    time.sleep(600)


def test_a_lane_that_is_at_work_ends_with_who_asks_for_it() -> None:
    seen = []

    def ask_and_be_stopped() -> None:
        with raised(), Lane(at_work) as lane:
            seen.append(psutil.Process(lane()))
            threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()
            lane()

    with pytest.raises(Stopped):
        ask_and_be_stopped()
    assert not psutil.wait_procs(seen, timeout=60)[1]


def test_a_lane_that_died_is_no_answer() -> None:
    with Lane(at_work) as lane:
        psutil.Process(lane()).kill()
        with pytest.raises(MachineError, match="must live but ended with -9"):
            lane()


def test_what_goes_wrong_in_a_lane_is_raised_here() -> None:
    with (
        Lane(partial(numbers, -1)) as lane,
        pytest.raises(ConfigError, match="must not be negative"),
    ):
        lane()
    with Lane(numbers) as lane, pytest.raises(TypeError):  # type: ignore[arg-type]
        lane()
