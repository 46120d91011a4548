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

from bench.speed.isolated import IsolatedIterator
from bench.system.interruption import Stopped, raised
from gpt.errors import ConfigError, MachineError

pytestmark = pytest.mark.slow


def numbers(n: int) -> Iterator[int]:
    if n < 0:
        raise ConfigError(f"n must not be negative but got {n}")
    yield from (os.getpid(), n)


def test_an_iterator_works_in_a_process_of_its_own() -> None:
    with (
        IsolatedIterator(partial(numbers, 3)) as a,
        IsolatedIterator(partial(numbers, 4), as_worker=True) as b,
    ):
        assert len({os.getpid(), a(), b()}) == 3
        assert (a(), b()) == (3, 4)


def at_work() -> Iterator[int]:
    yield os.getpid()
    time.sleep(600)


def test_an_iterator_at_work_ends_with_the_process_that_asks() -> None:
    seen = []

    def ask_and_be_stopped() -> None:
        with raised(), IsolatedIterator(at_work) as iterator:
            seen.append(psutil.Process(iterator()))
            threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGTERM]).start()
            iterator()

    with pytest.raises(Stopped):
        ask_and_be_stopped()
    assert not psutil.wait_procs(seen, timeout=60)[1]


def test_an_iterator_that_died_is_no_answer() -> None:
    with IsolatedIterator(at_work) as iterator:
        psutil.Process(iterator()).kill()
        with pytest.raises(MachineError, match="must live but ended with -9"):
            iterator()


def test_what_goes_wrong_in_another_process_is_raised_here() -> None:
    with (
        IsolatedIterator(partial(numbers, -1)) as iterator,
        pytest.raises(ConfigError, match="must not be negative"),
    ):
        iterator()
    with IsolatedIterator(numbers) as iterator, pytest.raises(TypeError):  # type: ignore[arg-type]
        iterator()
