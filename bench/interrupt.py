"""Ctrl-C once: finish off in order. Twice: stop at once. A scheduler's SIGTERM: as once."""

import signal
from types import FrameType, TracebackType


class Interruption:
    """`with Interruption() as interruption:` turns SIGINT and SIGTERM into a wish to stop."""

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
        for number in (signal.SIGINT, signal.SIGTERM):
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

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._count += 1
        self._signal = number
