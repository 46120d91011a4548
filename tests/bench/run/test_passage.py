"""The passage that shows where a model spends its bits."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench.run import passage as module
from bench.run.passage import PASSAGE_BYTES, Passage, passage_of
from gpt.config import Budget, CorpusConfig, ModelConfig, RunConfig, TokenizerConfig, TrainConfig
from gpt.training.setup import Setup, set_up

LINE = "All the world's a stage, naïve and “merely” played; line number {}.\n"


def setup_of(
    folder: Path, text: str, kind: str, vocab_size: int | None = None, T: int = 8
) -> Setup:
    path = folder / "text.txt"
    path.write_text(text, "utf-8")
    tokenizer = TokenizerConfig(kind=kind, vocab_size=vocab_size)  # type: ignore[arg-type]
    config = RunConfig(
        corpus=CorpusConfig(name=str(path), val_fraction=0.3),
        tokenizer=tokenizer,
        model=ModelConfig(n_layer=1, n_head=1, n_embd=8, block_size=T),
        train=TrainConfig(budget=Budget(steps=1), device="cpu"),
    )
    return set_up(config, cache=folder / "cache")


@pytest.fixture(scope="module")
def text() -> str:
    return "".join(LINE.format(i) for i in range(200))


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory, text: str) -> dict[str, Passage]:
    kinds = {"byte": None, "char": None, "bpe": 300, "unigram": 310}
    folder = tmp_path_factory.mktemp("passage")
    found = {kind: passage_of(setup_of(folder, text, kind, size)) for kind, size in kinds.items()}
    return {kind: passage for kind, passage in found.items() if passage is not None}


def test_all_tokenizers_see_the_same_text_and_cover_it(passages: dict[str, Passage]) -> None:
    assert set(passages) == {"byte", "char", "bpe", "unigram"}
    [text] = {passage.text for passage in passages.values()}
    assert text.startswith("All the world")
    assert 0.8 * PASSAGE_BYTES < len(text.encode()) <= PASSAGE_BYTES
    for passage in passages.values():
        assert sum(passage.n_bytes) == len(text.encode())
        assert min(passage.n_bytes) > 0


def test_the_text_lies_in_the_middle_of_the_validation_part(
    passages: dict[str, Passage], text: str
) -> None:
    place = text.encode().index(passages["byte"].text.encode())
    assert 0.83 < place / len(text.encode()) < 0.87  # of the part that begins at 0.7


def test_the_bits_are_those_of_the_model(tmp_path: Path, text: str) -> None:
    setup = setup_of(tmp_path, text, "byte", T=16)
    passage = passage_of(setup)
    assert passage is not None
    tokens = setup.text.encoded.val.astype(np.int64)
    start = bytes(tokens.astype(np.uint8)).index(passage.text.encode())

    ids = torch.from_numpy(tokens[start - 9 : start + 8])  # a block and the token after it
    logits = setup.model(ids[None, :-1])[0]
    nats = F.cross_entropy(logits, ids[1:], reduction="none")

    assert passage.bits_per_byte[:8] == pytest.approx((nats[-8:] / math.log(2)).tolist(), rel=1e-4)


def test_blocks_of_a_long_text_change_nothing(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = setup_of(tmp_path, text, "bpe", 300)
    whole = passage_of(setup)
    monkeypatch.setattr(module, "BLOCK", 700)

    assert passage_of(setup) == whole


@pytest.mark.parametrize("text", ["a" * 4000, "é" * 3000, "🙂🙃" * 900, "ab\n" * 40])
@pytest.mark.parametrize("kind", ["byte", "char"])
def test_any_text_has_a_passage_of_whole_characters(tmp_path: Path, text: str, kind: str) -> None:
    passage = passage_of(setup_of(tmp_path, text, kind))

    assert passage is not None
    assert passage.text
    assert passage.text in text
    assert sum(passage.n_bytes) == len(passage.text.encode())


def test_a_lossy_tokenizer_has_none(tmp_path: Path, text: str) -> None:
    setup = setup_of(tmp_path, text, "byte")
    tokenizer = setup.text.tokenizer
    lossy = type("Lossy", (type(tokenizer),), {"lossless": False})()

    assert passage_of(replace(setup, text=replace(setup.text, tokenizer=lossy))) is None


def test_a_passage_is_read_as_it_was_written(passages: dict[str, Passage]) -> None:
    passage = passages["unigram"]
    read = Passage.from_json(passage.to_json())

    assert (read.text, read.n_bytes) == (passage.text, passage.n_bytes)
    assert read.bits_per_byte == pytest.approx(passage.bits_per_byte, abs=1e-4)
    assert read.mean == pytest.approx(passage.mean, abs=1e-4)
