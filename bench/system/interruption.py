"""How a command reacts to Ctrl-C and SIGTERM, from its first moment to its last.

While a command imports, plans or prints, a signal ends it at once (`leave`, installed by
`bench.system.entry`). While runs are under way they must be ended in order: `Interruption` counts
the signals, and `raised` turns the first one into an exception. The processes that a command
started ignore both signals, and the command ends them.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(SystemExit):
    """A signal has ended the command.

    Args:
        code: the exit code: 128 plus the signal's number.
        words: what is printed.
    """

    def __init__(self, code: int, words: str = "Stopped.") -> None:
        super().__init__(code)
        self.words = words


def leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    """A signal handler that prints one line and ends the process at once.

    An exception would not do: raised inside an import, it would look like a fault of the imported
    module. Child processes end when this one does (`bench.system.lifeline`).
    """
    with suppress(Exception):  # the signal may have interrupted this very flush
        sys.stdout.flush()
    with suppress(OSError):
        show_cursor = b"\x1b[?25h" if os.isatty(2) else b""  # progress bars hide it
        os.write(2, show_cursor + b"Stopped.\n")
    os._exit(128 + number)


class Interruption:
    """`with Interruption() as interruption:` counts SIGINT and SIGTERM.

    After the first one the command should finish in order, after the second one stop at once. The
    third one ends the process, whatever it is waiting for.
    """

    def __init__(self) -> None:
        self._count = 0
        self._signal: int | None = None
        self._before: dict[int, signal.Handlers | object] = {}

    @property
    def requested(self) -> bool:
        """Whether to end in order, leaving everything resumable."""
        return self._count >= 1

    @property
    def now(self) -> bool:
        """Whether to end without waiting for anything."""
        return self._count >= 2

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM, by the shell's convention."""
        return 128 + (self._signal or signal.SIGINT)

    def __enter__(self) -> "Interruption":
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        self._signal = number
        if self._count > 2:
            leave(number, frame)


@contextmanager
def raised() -> Iterator[None]:
    """Have the first signal in the block raise `Stopped`; a second one ends the process."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for each in SIGNALS:
            signal.signal(each, leave)
        raise Stopped(128 + number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Block both signals in processes that are started in the block, from their first moment.

    A terminal sends signals to the whole process group, and a child that is interrupted while it
    imports would print a traceback. Children inherit the signal mask of this thread, the main one.
    The signals are blocked and not ignored: an ignored signal would be lost to this process too.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
