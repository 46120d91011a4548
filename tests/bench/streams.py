"""What comes from an executor, whichever it is."""

from collections.abc import Iterator
from itertools import islice

from bench.run.executor import Died, Event, Executor
from bench.run.messages import Finished
from gpt.training.loop import Point


def stream(executor: Executor) -> Iterator[tuple[str, Event]]:
    """All events, as they come."""
    while events := list(executor.events(120)):
        yield from events
    raise AssertionError("no event for two minutes: a task was lost")


def ends(executor: Executor, n: int) -> list[tuple[str, Finished | Died]]:
    """The next n events that end a task."""
    events = ((name, e) for name, e in stream(executor) if isinstance(e, Finished | Died))
    return list(islice(events, n))


def until_points(executor: Executor, *names: str) -> None:
    """Return when each of these runs has sent a point."""
    waiting = set(names)
    for name, event in stream(executor):
        if isinstance(event, Point):
            waiting.discard(name)
        if not waiting:
            return
