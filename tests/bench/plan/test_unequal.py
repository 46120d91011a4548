"""A budget of so few steps that its cells can't be ranked is told beforehand."""

import pytest

from bench.cells.catalog import find_study
from bench.cells.grid import cells_of
from bench.plan.unequal import say_unequal
from bench.run.cost import TextSize, text_key

BYTES_PER_TOKEN = {"byte": 1.0, "char": 1.004, "unigram": 3.37, "bpe": 5.0}


def said(study: str, **settings: str) -> str:
    cells = cells_of(find_study(study).load(), settings).cells
    sizes = {
        text_key(cell.config): TextSize(
            vocab_size=1000,
            bytes_per_token=BYTES_PER_TOKEN[cell.config.tokenizer.kind],
            val_tokens=1000,
            test_tokens=0,
        )
        for cell in cells
    }
    return say_unequal(cells, sizes)


def test_cells_that_match_in_whole_steps_are_not_warned_of() -> None:
    assert said("tokenizer_sweep") == ""


def test_few_steps_differ_by_too_much() -> None:
    warning = said("tokenizer_sweep", bytes="20000")

    assert warning.startswith("These runs can't be ranked: in whole steps ")
    assert "within 1%" in warning


@pytest.mark.parametrize("settings", [{"steps": "3"}, {"seconds": "2.0"}])
def test_steps_are_whole_and_seconds_are_not_known(settings: dict[str, str]) -> None:
    assert said("tokenizer_sweep", **settings) == ""


def test_a_text_that_is_not_known_is_left_out() -> None:
    cells = cells_of(find_study("tokenizer_sweep").load(), {"bytes": "20000"}).cells

    assert say_unequal(cells, {}) == ""
