"""A space is walked once: each cell once, as written, and nothing is dropped unsaid."""

from dataclasses import replace
from typing import Any

import pytest

from bench.cells.grid import draw_cells, enumerate_grid, label, unique_labels
from bench.spec import FixedTrial, Search, Study, Trial, choose
from gpt.config import CorpusConfig, RunConfig, TokenizerConfig
from gpt.errors import ConfigError

BASE = RunConfig()


def heads_and_layers(trial: Trial) -> RunConfig:
    n_head = choose(trial, "n_head", [4, 1, 2])
    n_layer = choose(trial, "n_layer", [2, 1])
    return replace(BASE, model=replace(BASE.model, n_head=n_head, n_layer=n_layer))


def tokenizers(trial: Trial) -> RunConfig:
    """A conditional space: only subword tokenizers have a choice of vocabulary."""
    kind = choose(trial, "tokenizer", ["byte", "bpe"])
    vocab_size = choose(trial, "vocab_size", [512, 300]) if kind == "bpe" else None
    return replace(BASE, tokenizer=TokenizerConfig(kind=kind, vocab_size=vocab_size))


def test_every_cell_once_in_the_order_in_which_it_is_written() -> None:
    grid = enumerate_grid(Study(heads_and_layers), {})

    found = [(cell.config.model.n_head, cell.config.model.n_layer) for cell in grid.cells]
    assert found == [(4, 2), (4, 1), (1, 2), (1, 1), (2, 2), (2, 1)]
    assert len({cell.key for cell in grid.cells}) == 6
    assert grid.dropped == []


def test_an_if_makes_a_conditional_space() -> None:
    grid = enumerate_grid(Study(tokenizers), {})

    assert [cell.label for cell in grid.cells] == ["byte", "bpe 512", "bpe 300"]
    assert [cell.params for cell in grid.cells] == [
        {"tokenizer": "byte"},
        {"tokenizer": "bpe", "vocab_size": 512},
        {"tokenizer": "bpe", "vocab_size": 300},
    ]


def test_integers_and_steps_of_floats_are_enumerated_too() -> None:
    def cell(trial: Trial) -> RunConfig:
        n_layer = trial.suggest_int("n_layer", 1, 3)
        dropout = trial.suggest_float("dropout", 0.0, 0.2, step=0.1)
        return replace(BASE, model=replace(BASE.model, n_layer=n_layer, dropout=dropout))

    cells = enumerate_grid(Study(cell), {}).cells

    found = [(c.config.model.n_layer, round(c.config.model.dropout, 9)) for c in cells]
    assert found == [(n, d) for n in (1, 2, 3) for d in (0.0, 0.1, 0.2)]


def test_a_study_that_asks_nothing_has_one_cell() -> None:
    grid = enumerate_grid(Study(lambda trial: BASE), {})  # noqa: ARG005

    assert [(cell.label, cell.config) for cell in grid.cells] == [("single", BASE)]


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_what_a_tokenizer_ignores_makes_no_further_cells(kind: Any) -> None:
    def cell(trial: Trial) -> RunConfig:
        vocab_size = choose(trial, "vocab_size", [256, 512, 1024])
        return replace(BASE, tokenizer=TokenizerConfig(kind=kind, vocab_size=vocab_size))

    cells = enumerate_grid(Study(cell), {}).cells

    assert [cell.config.tokenizer for cell in cells] == [TokenizerConfig(kind=kind)]


def test_a_point_that_makes_no_config_is_dropped_and_listed() -> None:
    def cell(trial: Trial) -> RunConfig:
        n_head = choose(trial, "n_head", [3, 4, 0])
        return replace(BASE, model=replace(BASE.model, n_head=n_head))

    grid = enumerate_grid(Study(cell), {})

    assert [cell.label for cell in grid.cells] == ["n_head 4"]
    reasons = {point.label: point.reason for point in grid.dropped}
    assert reasons == {
        "n_head 3": "n_embd must be divisible by n_head but got 128 and 3",
        "n_head 0": "n_head must be at least 1 but got 0",
    }


def test_a_point_that_an_override_spoils_is_dropped_and_listed() -> None:
    grid = enumerate_grid(Study(heads_and_layers), {"n_embd": "6"})

    assert {cell.config.model.n_head for cell in grid.cells} == {1, 2}
    assert {point.label for point in grid.dropped} == {"n_head 4 n_layer 1", "n_head 4 n_layer 2"}


def test_a_space_without_a_valid_cell_is_refused_with_its_reason() -> None:
    with pytest.raises(ConfigError, match="n_layer must be at least 1 but got 0"):
        enumerate_grid(Study(lambda _: replace(BASE, model=replace(BASE.model, n_layer=0))), {})


def test_overrides_apply_to_every_cell() -> None:
    cells = enumerate_grid(Study(heads_and_layers), {"n_embd": "64", "steps": "7"}).cells

    assert {cell.config.model.n_embd for cell in cells} == {64}
    assert {str(cell.config.train.budget) for cell in cells} == {"7 steps"}
    assert len(cells) == 6


@pytest.mark.parametrize("key", ["n_head", "model.n_head"])
def test_an_override_of_what_the_study_varies_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"can't fix .* varies but got {key} .*1, 2, 4"):
        enumerate_grid(Study(heads_and_layers), {key: "2"})


def test_a_cell_does_not_hang_on_the_seed_of_its_study() -> None:
    plain = enumerate_grid(Study(lambda _: BASE), {}).cells[0]
    seeded = enumerate_grid(Study(lambda _: BASE.with_seed(5)), {}).cells[0]

    assert plain.key == seeded.key
    assert seeded.config.train.seed == 0


@pytest.mark.parametrize("walk", [enumerate_grid, draw_cells])
def test_a_cell_that_returns_something_else_is_named_with_its_line(walk: Any) -> None:
    def cell(trial: Trial) -> Any:
        return trial.suggest_int("n", 1, 2)

    with pytest.raises(ConfigError, match=r"test_grid.py:\d+: cell must return .* but got int"):
        walk(Study(cell), {})


def test_a_search_is_looked_at_before_it_runs() -> None:
    def cell(trial: Trial) -> RunConfig:
        n_head = trial.suggest_int("n_head", 1, 3)
        return replace(BASE, model=replace(BASE.model, n_head=n_head))

    grid = draw_cells(Study(cell, search=Search(n_trials=4)), {})

    assert {cell.label for cell in grid.cells} == {"n_head 1", "n_head 2"}
    assert {point.label for point in grid.dropped} == {"n_head 3"}
    assert grid == draw_cells(Study(cell, search=Search(n_trials=4)), {})  # the same each time


def test_a_grid_names_all_its_texts_and_which_are_downloaded() -> None:
    def cell(trial: Trial) -> RunConfig:
        name = choose(trial, "text", ["tinyshakespeare", "song.txt", "pydocs"])
        return replace(BASE, corpus=CorpusConfig(name=name))

    texts = enumerate_grid(Study(cell), {}).texts
    assert texts == "pydocs, song.txt, tinyshakespeare (downloaded once)"


def test_points_that_come_to_one_config_are_said() -> None:
    def cell(trial: Trial) -> RunConfig:
        vocab_size = choose(trial, "vocab_size", [256, 512, 1024])
        return replace(BASE, tokenizer=TokenizerConfig(kind="char", vocab_size=vocab_size))

    repeats = {"vocab_size 512": "vocab_size 256", "vocab_size 1024": "vocab_size 256"}
    assert enumerate_grid(Study(cell), {}).repeats == repeats


def test_a_point_drawn_twice_repeats_nothing() -> None:
    def cell(trial: Trial) -> RunConfig:
        n_head = trial.suggest_int("n_head", 1, 2)
        return replace(BASE, model=replace(BASE.model, n_head=n_head))

    grid = draw_cells(Study(cell, search=Search(n_trials=4)), {})
    assert len(grid.cells) == 2
    assert grid.repeats == {}


def test_a_study_that_varies_the_seed_is_refused() -> None:
    def cell(trial: Trial) -> RunConfig:
        return BASE.with_seed(choose(trial, "s", [1, 2]))

    with pytest.raises(ConfigError, match=r"can't vary the seed: Study\(..., seeds=3\)"):
        enumerate_grid(Study(cell), {})


def test_a_point_that_a_search_drops_twice_is_listed_once() -> None:
    def cell(trial: Trial) -> RunConfig:
        n_head = trial.suggest_int("n_head", 2, 3)
        return replace(BASE, model=replace(BASE.model, n_head=n_head))

    dropped = draw_cells(Study(cell, search=Search(n_trials=4)), {}).dropped

    assert [point.label for point in dropped] == ["n_head 3"]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"tokenizer": "bpe", "vocab_size": 512, "bias": None}, "bpe 512"),
        ({"n_head": 2, "n_layer": 4}, "n_head 2 n_layer 4"),
        ({"learning_rate": 0.00123456789}, "learning_rate 0.00123457"),
        ({"kernel": "sdpa", "n_head": 2, "n_layer": 4}, "sdpa n_head 2 n_layer 4"),
        ({"bias": None}, "bias None"),
        ({"name": ""}, "''"),
        ({"name": "x "}, "'x '"),
        ({"name": "\x1b[31mred\n"}, r"'\x1b[31mred\n'"),
        ({"name": "x" * 61}, "x" * 59 + "…"),
        ({}, "single"),
    ],
)
def test_a_label_says_what_a_person_would(params: dict[str, Any], says: str) -> None:
    assert label(params) == says


@pytest.mark.parametrize(
    ("points", "labels"),
    [
        (
            [{"a": a, "b": b} for a in (None, "x") for b in (None, "x")],
            ["a None b None", "a None b x", "a x b None", "a x b x"],
        ),
        (
            [{"kind": "adamw", "lr": lr} for lr in (0.001, 0.0010000001)],
            ["adamw 0.001", "adamw 0.0010000001"],
        ),
        ([{"n": 1}, {"n": "1"}, {"n": 2}], ["n 1", "1", "n 2"]),
        ([{"n": "1", "m": None}, {"n": "1"}], ["n 1 m None", "n 1"]),
        ([{"n": 1.0}, {"n": 1}], ["n 1.0", "n 1"]),
        (
            [{"n": "x" * 61}, {"n": "x" * 62}],
            [f"n {'x' * 59}… key0", f"n {'x' * 59}… key1"],
        ),
        ([{"n": True, "m": "n"}, {"n": "True", "m": "n"}], ["n True m n key0", "n True m n key1"]),
        ([], []),
    ],
)
def test_no_two_cells_have_one_label(points: list[dict[str, Any]], labels: list[str]) -> None:
    named = unique_labels({f"key{i}": params for i, params in enumerate(points)})

    assert list(named.values()) == labels


def test_cells_whose_short_labels_are_alike_are_four_cells_of_four_names() -> None:
    def cell(trial: Trial) -> RunConfig:
        a = choose(trial, "a", [None, "x"])
        b = choose(trial, "b", [None, "x"])
        n_embd = 16 + 16 * bool(a) + 32 * bool(b)
        return replace(BASE, model=replace(BASE.model, n_embd=n_embd))

    found = {
        cell.label: cell.config.model.n_embd for cell in enumerate_grid(Study(cell), {}).cells
    }

    assert found == {"a None b None": 16, "a None b x": 48, "a x b None": 32, "a x b x": 64}


def test_a_cell_runs_on_a_fixed_trial() -> None:
    assert heads_and_layers(FixedTrial({"n_head": 2, "n_layer": 1})).model.n_head == 2
