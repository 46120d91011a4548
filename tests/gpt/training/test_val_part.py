"""The evaluations on the way read a part of the validation text: the same one for all cells."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from gpt.config import RunConfig, TokenizerConfig
from gpt.errors import ConfigError, DivergedError
from gpt.training.evaluate import ValPart, evaluate_part, evaluate_split, part_of_val
from gpt.training.loop import Point, train
from gpt.training.setup import Setup, load_text

Run = Callable[..., list[Point]]
Settle = Callable[..., Setup]

LONG = {"val_fraction": 0.4, "val_part_bytes": 500}
"""A validation text of 3 kB, and a part of it."""

TOKENIZERS = [
    TokenizerConfig(kind="byte"),
    TokenizerConfig(kind="char"),
    TokenizerConfig(kind="bpe", vocab_size=300),
    TokenizerConfig(kind="unigram", vocab_size=290),
]


def test_only_the_last_evaluation_is_of_the_whole_text(settle: Settle) -> None:
    setup = settle(**LONG, evaluations=5)
    points = list(train(setup))
    whole = [p for p in points if p.evaluation]

    assert [p.step for p in points if p.val_part] == [4, 8, 12, 16, 20]
    assert whole == [points[-1]]
    assert whole[0].evaluation == evaluate_split(setup, "val")
    assert {p.val_part.n_bytes for p in points if p.val_part} <= {*range(300, 501)}
    assert points[-1].val_part.bits_per_byte == pytest.approx(
        points[-1].evaluation.bits_per_byte, rel=0.1
    )


def test_a_curve_has_ten_points_unless_told_otherwise(run: Run) -> None:
    assert sum(p.val_part is not None for p in run(**LONG)) == 10


def test_rule_05_the_part_is_the_same_bytes_whatever_the_tokenizer(
    tiny: RunConfig, cache: Path
) -> None:
    config = tiny.replace(corpus=replace(tiny.corpus, val_fraction=0.4))
    texts = [load_text(config.replace(tokenizer=one), cache=cache) for one in TOKENIZERS]
    parts = [part_of_val(text, 500) for text in texts]
    [read] = {
        text.tokenizer.decode_bytes(part.tokens) for text, part in zip(texts, parts, strict=True)
    }

    assert {part.n_bytes for part in parts} == {len(read)}
    assert 300 < len(read) <= 500
    val = texts[0].corpus.split("val")
    assert read.decode() == texts[0].corpus.excerpt(val, 500)


def test_a_model_that_knows_nothing_spends_eight_bits_on_each_byte(settle: Settle) -> None:
    setup = settle(**LONG, tokenizer="byte")
    nn.init.zeros_(setup.model.head.weight)
    found = evaluate_part(setup, part_of_val(setup.text, 500))

    assert found.bits_per_byte == pytest.approx(8)
    assert found.n_tokens == found.n_bytes


def test_of_a_short_text_the_part_is_the_whole(run: Run) -> None:
    points = run(evaluations=2)

    assert points[-1].val_part == points[-1].evaluation
    assert [p.step for p in points if p.evaluation] == [20]


def test_without_a_part_or_with_a_target_each_evaluation_is_of_the_whole_text(run: Run) -> None:
    whole = run(**{**LONG, "val_part_bytes": None}, evaluations=4)
    target = run(**LONG, evaluations=4, target_loss=0.0)

    assert [p.evaluation for p in whole] == [p.evaluation for p in target]
    assert [p.step for p in whole if p.evaluation] == [5, 10, 15, 20]
    assert not any(p.val_part for p in [*whole, *target])
    assert all(p.watched is p.evaluation for p in whole)


def test_the_part_belongs_to_the_key_where_it_is_read(tiny: RunConfig) -> None:
    other = tiny.override({"val_part_bytes": "500"})
    aimed, aimed_other = (one.override({"target_loss": "1.0"}) for one in (tiny, other))

    assert tiny.key != other.key
    assert aimed.key == aimed_other.key
    with pytest.raises(ConfigError, match="val_part_bytes must be at least 64 but got 8"):
        tiny.override({"val_part_bytes": "8"})


def test_a_loss_of_the_part_that_is_not_finite_ends_the_run(
    settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(setup: Setup, part: ValPart) -> object:
        return replace(evaluate_part(setup, part), nats=float("nan"))

    monkeypatch.setattr("gpt.training.loop.evaluate_part", broken)
    with pytest.raises(DivergedError, match="step 2"):
        list(train(settle(**LONG)))
