"""How fast is this machine at the shapes of a study? A few seconds of steps, and a memory of them.

The workers of the study time its shapes, as many side by side as runs will be. What they found is
kept in the cache, by machine and shape, and so is what each text came to. Of many shapes some are
timed, spread over what their steps cost, for as long as there is time; the others lie between.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.run.cost import (
    Measured,
    TextSize,
    guess_size,
    rough_step_seconds,
    rough_timing_seconds,
    shape_key,
    text_key,
)
from bench.system import provenance
from gpt.cache import atomic, key_of
from gpt.config import RunConfig

if TYPE_CHECKING:
    from bench.run.executor import Executor
    from bench.run.messages import Folders

RECIPE = 1
"""Part of every key: raise it when something else is timed."""

FRESH_SECONDS = 600.0
"""What was timed longer ago is timed again, if there is time: a machine changes in what else it
does. If there is none, it still counts."""

SHAPE_SECONDS = 1.0
"""What the steps of one shape are given at most."""


class Known:
    """What this machine was found to need, with so many runs side by side.

    Args:
        cache: where it is kept; what can't be read there is not known.
        n_workers: runs side by side.
        n_threads: of each.
    """

    def __init__(self, cache: Path, *, n_workers: int, n_threads: int) -> None:
        machine = key_of(RECIPE, provenance.environment_digest(), provenance.code_digest(),
                         n_workers, n_threads)  # fmt: skip
        self._shapes_file = cache / "costs" / f"{machine}.json"
        self._texts_file = cache / "costs" / "texts.json"
        kept = _read(self._shapes_file)
        self._when: dict[str, float] = {key: when for key, (when, _) in kept.items()}
        self.shapes = {key: Measured(**fields) for key, (_, fields) in kept.items()}
        self.texts = {key: TextSize(**size) for key, size in _read(self._texts_file).items()}

    def keep_shapes(self, shapes: Mapping[str, Measured]) -> None:
        """Add shapes that were timed just now."""
        self.shapes |= shapes
        self._when |= dict.fromkeys(shapes, time.time())
        kept = {key: (self._when[key], asdict(shape)) for key, shape in self.shapes.items()}
        _write(self._shapes_file, kept)

    def keep_texts(self, texts: Mapping[str, TextSize]) -> None:
        """Add texts that were made ready, by `text_key`."""
        if any(self.texts.get(key) != size for key, size in texts.items()):
            self.texts |= texts
            _write(self._texts_file, {key: asdict(size) for key, size in self.texts.items()})

    def is_fresh(self, shape: str) -> bool:
        """Whether it was timed just now."""
        return self._when.get(shape, -math.inf) > time.time() - FRESH_SECONDS

    def size(self, config: RunConfig) -> TextSize:
        """What a config's text came to when it was last made ready; before that, a guess."""
        known = self.texts.get(text_key(config))
        return known or guess_size(config.corpus, config.tokenizer)


def _read(path: Path) -> dict[str, Any]:
    """A file of ours; {} if it is absent, damaged or another version's."""
    with suppress(OSError, ValueError, AttributeError):
        kept: dict[str, Any] = json.loads(path.read_bytes())
        return {**kept}
    return {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Keep it, where the cache can be written; where not, it is found anew the next time."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as partial:
            partial.write_text(json.dumps(content, indent=1), "utf-8")


def shapes_of(configs: Sequence[RunConfig], known: Known) -> dict[str, RunConfig]:
    """The shapes of a study, a config each, that were not timed just now."""
    shapes: dict[str, RunConfig] = {}
    for config in configs:
        key = shape_key(config, known.size(config))
        if not known.is_fresh(key):
            shapes.setdefault(key, config)
    return shapes


def calibrate(
    shapes: Mapping[str, RunConfig],
    known: Known,
    executor: "Executor",
    folders: "Folders",
    *,
    seconds: float,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Time shapes in an executor that does nothing else, and keep what they took.

    Those that were never timed come first. Those that no worker has begun after so many seconds
    are left out, and so are those that would take half of that by themselves, unless all do.
    """
    from bench.run.executor import Died
    from bench.run.messages import Finished, Measure

    took = {k: rough_timing_seconds(c, known.size(c)) for k, c in shapes.items()}
    short = max(seconds / 2, min(took.values(), default=0.0))
    order = list(_spread({k: c for k, c in shapes.items() if took[k] <= short}, known))
    order *= -(-executor.n_workers // max(1, len(order)))  # as many at work as there will be
    each = min(SHAPE_SECONDS, seconds * executor.n_workers / max(1, 2 * len(order)))
    end = time.monotonic() + seconds
    found: dict[str, Measured] = {}
    at_work: dict[str, str] = {}
    while (order and not stopped() and time.monotonic() < end) or at_work:
        while order and executor.n_free and not stopped() and time.monotonic() < end:
            key = order.pop(0)
            name = f"shape {len(order)}"
            at_work[name] = key
            config = shapes[key]
            task = Measure(config=config, size=known.size(config), folders=folders, seconds=each)
            executor.submit(name, task)
        for name, event in executor.events(0.2):
            if isinstance(event, Measured):
                found[at_work[name]] = event
            elif isinstance(event, Finished | Died):
                del at_work[name]
    if found:
        known.keep_shapes(found)


def _spread(shapes: Mapping[str, RunConfig], known: Known) -> Sequence[str]:
    """The shapes so that the first few, however many, lie far apart in what a step costs."""
    ordered = sorted(
        shapes, key=lambda key: rough_step_seconds(shapes[key], known.size(shapes[key]))
    )
    places = {key: _place(index, len(ordered)) for index, key in enumerate(ordered)}
    return sorted(ordered, key=lambda key: (key in known.shapes, places[key]))


def _place(index: int, n: int) -> float:
    """Of an item among `n`: the ends first, then the middle, then quarters (van der Corput)."""
    if index in (0, n - 1):
        return -1.0
    bits, value, scale = index, 0.0, 0.5
    while bits:
        value, bits, scale = value + scale * (bits & 1), bits >> 1, scale / 2
    return value
