"""Small corpora and runs in temporary folders; real corpora where GPT_BENCH_CORPORA says."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from late_device import LateDevice

import gpt.training.loop
from gpt.config import Budget, CorpusConfig, ModelConfig, RunConfig, TrainConfig
from gpt.corpora import CORPORA_VARIABLE, Corpus, load_corpus
from gpt.training.clock import Clock
from gpt.training.loop import Point, train
from gpt.training.setup import Setup, set_up

VERSE = (
    "{0} bottles of “beer” on the wall, {0} bottles of “beer”. Take one down, pass it around.\n"
)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def make_corpus(tmp_path: Path, cache: Path) -> Callable[..., Corpus]:
    """A corpus with this text, or these bytes."""

    def make(text: str | bytes, *, name: str = "text.txt", **fractions: float) -> Corpus:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_corpus(CorpusConfig(name=str(path), **fractions), cache=cache)

    return make


@pytest.fixture
def real_corpus(cache: Path) -> Callable[[str], Corpus]:
    """A corpus that would be downloaded, from local copies; skips where there are none."""
    folder = os.environ.get(CORPORA_VARIABLE)
    if not folder:
        pytest.skip(f"{CORPORA_VARIABLE} names no folder with the real corpora")
    return lambda name: load_corpus(CorpusConfig(name=name), corpora_dir=Path(folder), cache=cache)


@pytest.fixture
def tiny(tmp_path: Path) -> RunConfig:
    """A run of a tiny GPT on a song of 8 kB, on the CPU."""
    path = tmp_path / "bottles.txt"
    path.write_text("".join(map(VERSE.format, range(99, 0, -1))), "utf-8")
    return RunConfig(
        corpus=CorpusConfig(name=str(path)),
        model=ModelConfig(n_layer=1, n_head=2, n_embd=16, block_size=16),
        train=TrainConfig(budget=Budget(steps=20), batch_size=4, device="cpu"),
    )


@pytest.fixture
def settle(tiny: RunConfig, cache: Path) -> Callable[..., Setup]:
    """Set the tiny run up, with overrides."""
    return lambda **values: set_up(
        tiny.override({key: str(value) for key, value in values.items()}), cache=cache
    )


@pytest.fixture
def run(settle: Callable[..., Setup]) -> Callable[..., list[Point]]:
    """The same, trained to its end."""
    return lambda **values: list(train(settle(**values)))


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> LateDevice:
    """A device that `train` takes for its own, and whose time it takes for the time."""
    device = LateDevice()
    monkeypatch.setattr(gpt.training.loop, "Clock", partial(Clock, now=device.now))
    monkeypatch.setattr(gpt.training.loop, "synchronize", device.synchronize)
    return device
