"""Which text goes into a model: in training the training part alone, at places that the seed
decides; in an evaluation each part by its own name, against its own bytes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gpt.config import Budget, CorpusConfig, RunConfig, TokenizerConfig
from gpt.training.evaluate import evaluate_split
from gpt.training.loop import train
from gpt.training.setup import Setup, set_up

Make = Callable[..., Setup]


@pytest.fixture
def make(tiny: RunConfig, tmp_path: Path, cache: Path) -> Make:
    """The tiny run, on a text and with fields of its own."""

    def make(
        text: str, tokenizer: TokenizerConfig, corpus: dict[str, float], **train: Any
    ) -> Setup:
        path = tmp_path / "text.txt"
        path.write_text(text, "utf-8")
        config = tiny.replace(
            corpus=CorpusConfig(name=str(path), **corpus),
            tokenizer=tokenizer,
            train=replace(tiny.train, **train),
        )
        return set_up(config, cache=cache)

    return make


class Reader:
    """What a model was given: windows (T + 1,), the last token being that which comes next."""

    def __init__(self, setup: Setup) -> None:
        self.training: list[list[int]] = []
        self.evaluating: list[list[int]] = []
        setup.model.register_forward_pre_hook(self._note)

    def _note(self, model: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        x, y = given[:2]  # (B, T) each
        windows = torch.cat([x, y[:, -1:]], dim=1).tolist()
        (self.training if model.training else self.evaluating).extend(windows)


BYTE = TokenizerConfig(kind="byte")
PARTS = {"train": "abcd" * 2000, "val": "efgh" * 600, "test": "ijkl" * 1400}
FRACTIONS = {"val_fraction": 0.15, "test_fraction": 0.35}


def test_training_reads_the_training_part_alone_and_nothing_reads_the_test_part(
    make: Make,
) -> None:
    setup = make("".join(PARTS.values()), BYTE, FRACTIONS, batch_size=8, estimate_batches=2)
    reader = Reader(setup)
    list(train(setup))

    assert len(reader.training) == 20 * 8
    assert set(np.ravel(reader.training)) == set(b"abcd")
    evaluated = set(np.ravel(reader.evaluating))
    assert evaluated - {-100} == set(b"abcdefgh")  # the estimates are of both parts
    assert not evaluated & set(b"ijkl")


@pytest.mark.parametrize(("split", "before"), [("val", b"d"), ("test", b"h")])
def test_each_held_out_part_is_measured_against_its_own_bytes(
    split: str, before: bytes, make: Make
) -> None:
    """A model that knows nothing spends 8 bits on each byte, and each byte is a token."""
    setup = make("".join(PARTS.values()), BYTE, FRACTIONS)
    nn.init.zeros_(setup.model.head.weight)
    reader = Reader(setup)
    evaluation = evaluate_split(setup, split)

    assert evaluation.n_bytes == evaluation.n_tokens == len(PARTS[split])
    assert evaluation.bits_per_byte == pytest.approx(8)
    assert reader.evaluating[0][0] == before[0]
    read = np.ravel(np.array(reader.evaluating)[:, 1:])
    assert bytes(read[: len(PARTS[split])].astype(np.uint8)) == PARTS[split].encode()


@pytest.mark.parametrize("stride", [None, 4, 16])
def test_windows_of_an_evaluation_lie_as_far_apart_as_the_config_says(
    stride: int | None, make: Make
) -> None:
    text = "".join(f"{number:03}\n" for number in range(1000))
    setup = make(text, BYTE, {"val_fraction": 0.1}, eval_stride=stride)
    reader = Reader(setup)
    evaluate_split(setup, "val")

    windows = [bytes(window[1:16]).decode() for window in reader.evaluating[:-1]]
    starts = [text.index(window) - 3600 for window in windows]
    assert starts == [*range(0, 400 - 16, stride or 16)]


def test_an_evaluation_computes_in_the_run_s_precision(make: Make) -> None:
    setup = make("".join(PARTS.values()), BYTE, FRACTIONS, dtype="float16")
    computed: set[torch.dtype] = set()
    mlp = setup.model.blocks[0].mlp
    mlp.expand.register_forward_hook(lambda _model, _given, made: computed.add(made.dtype))
    evaluate_split(setup, "val")

    assert computed == {torch.float16}


def test_rule_09_one_seed_trains_on_the_same_places_whatever_the_tokenizer(make: Make) -> None:
    """Numbered lines, so that a window says where in the text it lies."""
    text = "".join(f"{number:05}\n" for number in range(1500))
    places = {}
    for tokenizer in (BYTE, TokenizerConfig(kind="bpe", vocab_size=300)):
        setup = make(text, tokenizer, {}, budget=Budget(steps=10))
        reader = Reader(setup)
        list(train(setup))
        windows = [setup.text.tokenizer.decode(window) for window in reader.training]
        assert all(text.count(window) == 1 for window in windows)
        places[tokenizer.kind] = np.array([text.index(window) for window in windows]) / len(text)

    assert len(places["byte"]) == 40
    assert np.abs(places["byte"] - places["bpe"]).max() < 0.03
    assert places["byte"].std() > 0.2
