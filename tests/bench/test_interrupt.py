import os
import signal
from collections.abc import Iterator

import pytest

from bench.interrupt import Interruption


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_a_wish_to_stop_and_a_second_one_an_order(
    number: signal.Signals, code: int
) -> None:
    with Interruption() as interruption:
        assert (interruption.requested, interruption.now) == (False, False)
        os.kill(os.getpid(), number)
        assert (interruption.requested, interruption.now) == (True, False)
        os.kill(os.getpid(), number)
        assert (interruption.requested, interruption.now) == (True, True)
        assert interruption.exit_code == code


@pytest.fixture
def _python_s_own_handler() -> Iterator[None]:
    """Whatever the shell made of it: in the background SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_python_s_own_handler")
def test_afterwards_signals_do_what_they_did() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interruption():
        assert signal.getsignal(signal.SIGINT) is not before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
