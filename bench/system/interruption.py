"""What Ctrl-C and a scheduler's SIGTERM do, from a command's first moment to its last.

While a command imports, plans and prints, it ends on the spot (`leave`, from
`bench.system.entry`). While runs are at work there is something to finish off: `Interruption`
counts, `raised` raises. A process that a command has started leaves signals to the command.
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
        code: what it returns: 128 and the signal's number.
        words: what a person is told.
    """

    def __init__(self, code: int, words: str = "Stopped.") -> None:
        super().__init__(code)
        self.words = words


def leave(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    """Heed a signal by ending at once, in one line; for `signal.signal`.

    Raising an exception would not do: wherever in an import it came out, it would be taken for
    that module's fault. Our processes end when this one is gone (`bench.system.lifeline`).
    """
    with suppress(Exception):  # whatever the process was at: even at this very flush
        sys.stdout.flush()
    with suppress(OSError):
        show_cursor = b"\x1b[?25h" if os.isatty(2) else b""  # bars hide it
        os.write(2, show_cursor + b"Stopped.\n")
    os._exit(128 + number)


class Interruption:
    """`with Interruption() as interruption:` turns SIGINT and SIGTERM into a wish to stop.

    Once: finish off in order. Twice: stop at once. A third one ends the process, whatever it waits
    for.
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
    """Have processes that are started in the block get neither signal, from their first moment.

    A terminal sends them to the whole group, and whoever is asked while it imports would say what
    it was at. Children inherit the mask of this thread, the main one. The signals are not ignored
    here: any other thread of this process would take them then, and they would be lost.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
