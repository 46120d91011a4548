"""Small corpora in temporary folders; the real ones where GPT_BENCH_CORPORA says they are."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gpt.config import Budget, CorpusConfig, ModelConfig, RunConfig, TrainConfig
from gpt.corpora import CORPORA_VARIABLE, Corpus, load_corpus

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
