"""Call something that may hang, so that a signal still ends the command at once.

The call runs in a thread of its own; the main thread, which alone receives signals, waits for it.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from bench.system.interruption import Interruption, Stopped

POLL_SECONDS = 0.1

T = TypeVar("T")


def interruptibly(work: Callable[[], T], interruption: Interruption) -> T:
    """Run `work` in another thread; return what it returns, or raise what it raises.

    Raises:
        Stopped: a signal came first; the thread is abandoned.
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
