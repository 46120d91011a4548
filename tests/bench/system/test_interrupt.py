import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from bench.system.interruption import Interruption, Stopped, kept_from_children, leave, raised


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


def test_the_exit_code_is_that_of_the_last_signal() -> None:
    """Whoever sent it waits for it: a scheduler, after a Ctrl-C that took too long."""
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
    assert interruption.exit_code == 143


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


def test_a_third_signal_ends_the_process_whatever_it_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = []
    monkeypatch.setattr("bench.system.interruption.leave", lambda number, _: ended.append(number))
    with Interruption():
        for expected in ([], [], [signal.SIGTERM]):
            os.kill(os.getpid(), signal.SIGTERM)
            assert ended == expected


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_where_there_is_something_to_show_a_signal_is_raised_once(
    number: signal.Signals, code: int
) -> None:
    before = signal.getsignal(number)
    afterwards = []

    def stop() -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            afterwards.extend(map(signal.getsignal, (signal.SIGINT, signal.SIGTERM)))

    with pytest.raises(Stopped) as stopped, raised():
        stop()
    assert afterwards == [leave, leave]
    assert stopped.value.code == code
    assert signal.getsignal(number) is before


def test_children_get_no_signals_and_none_is_lost() -> None:
    """A signal that comes while one is started is heeded, whichever thread it is given to."""
    shown = "import signal; print(*sorted(n.name for n in signal.pthread_sigmask(0, [])))"
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)  # such as torch has
    other.start()
    try:
        with Interruption() as interruption:
            with kept_from_children():
                os.kill(os.getpid(), signal.SIGINT)
                command = [sys.executable, "-c", shown]
                child = subprocess.run(command, capture_output=True, text=True)
            assert interruption.requested
    finally:
        ended.set()
        other.join()
    assert child.stdout.split() == ["SIGINT", "SIGTERM"], child.stderr
