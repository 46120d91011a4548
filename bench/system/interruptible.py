"""What may hang is done beside the main thread, which alone hears of signals."""

import threading
from collections.abc import Callable
from typing import TypeVar

from bench.system.interruption import Interruption, Stopped

POLL_SECONDS = 0.1

T = TypeVar("T")


def interruptibly(work: Callable[[], T], interruption: Interruption) -> T:
    """What `work` returns or raises.

    Raises:
        Stopped: a signal says stop; `work` is left to itself.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        if interruption.requested:
            raise Stopped(interruption.exit_code)
        thread.join(POLL_SECONDS)
    if errors:
        raise errors[0]
    return results[0]
