"""A setting that a command fixes is the one that runs, in cells that are what they are called."""

from dataclasses import replace
from typing import Any

import pytest

from bench.cells.catalog import find_study
from bench.cells.grid import cells_of
from bench.cells.settings import parse_budgets, parse_settings, settle
from bench.spec import Study, Trial, choose
from gpt.config import ModelConfig, OptimizerConfig, RunConfig, TokenizerConfig
from gpt.errors import ConfigError

BASE = RunConfig()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("n_layer=2", "n_layer=4"), "takes each key once but got n_layer=2 and n_layer=4"),
        (("n_layer",), "takes KEY=VALUE but got 'n_layer'"),
        (("corpus=",), "takes KEY=VALUE but got 'corpus='"),
        (("=3",), "takes KEY=VALUE but got '=3'"),
    ],
)
def test_what_is_no_setting_is_refused(settings: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=f"--set {says}"):
        parse_settings(settings)


@pytest.mark.parametrize(
    ("budgets", "says"),
    [
        (("steps=5", "steps=7"), "takes each key once but got steps=5 and steps=7"),
        (("step=5",), "--budget takes one of steps, tokens, bytes, flops, seconds but got 'step'"),
        (("steps=abc",), "steps takes int or None but got abc"),
        (("steps=0",), "a budget must be positive and finite but got 0 steps"),
    ],
)
def test_what_is_no_budget_is_refused(budgets: tuple[str, ...], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_budgets(budgets)


def test_settings_and_budgets_come_to_one_form() -> None:
    assert settle(parse_settings(["model.n_layer = 2", "corpus.name=a=b"])) == {
        "n_layer": "2",
        "corpus": "a=b",
    }
    assert parse_budgets(["bytes=500_000", "flops=4e11"]) == [
        {"bytes": "500000"},
        {"flops": "400000000000.0"},
    ]


@pytest.mark.parametrize("key", ["seed", "train.seed"])
def test_the_seed_is_not_a_setting(key: str) -> None:
    with pytest.raises(ConfigError, match=r"can't fix the seed but got seed=5.*--seeds N"):
        settle({key: "5"})


def varies(**choices: Any) -> Study:
    """A study of choices by field; `kind` is the tokenizer's and `muon` its iterations."""

    def cell(trial: Trial) -> RunConfig:
        taken = {name: choose(trial, name, values) for name, values in choices.items()}
        kind, vocab_size = taken.pop("kind", "bpe"), taken.pop("vocab_size", 512)
        tokenizer = TokenizerConfig(kind=kind, vocab_size=vocab_size if kind == "bpe" else None)
        muon = OptimizerConfig(kind="muon", muon_iterations=taken.pop("muon", 3))
        model = replace(BASE.model, **taken)
        return replace(BASE, tokenizer=tokenizer, optimizer=muon, model=model)

    return Study(cell)


@pytest.mark.parametrize(
    ("choices", "settings", "says"),
    [
        ({"block_size": [8, 16]}, {"context_bytes": "64"}, "context_bytes=64 .* block_size .*8"),
        ({"vocab_size": [300, 512]}, {"tokenizer": "char"}, "tokenizer=char .* vocab_size .*300"),
        (
            {"kernel": ["sdpa", "online"]},
            {"attention": "per_head"},
            "attention=per_head .* kernel .*sdpa",
        ),
        ({"n_head": [1, 2]}, {"n_layer": "2", "model": "bigram"}, "model=bigram .* n_head .*1, 2"),
        ({"muon": [3, 5]}, {"optimizer": "adamw"}, "optimizer=adamw .* muon_iterations .*3, 5"),
    ],
)
def test_a_setting_that_leaves_what_is_varied_without_effect_is_refused(
    choices: dict[str, Any], settings: dict[str, str], says: str
) -> None:
    assert len(cells_of(varies(**choices), {}).cells) == 2
    with pytest.raises(ConfigError, match=f"--set {says}"):
        cells_of(varies(**choices), settings)


def test_so_it_is_where_other_fields_keep_the_cells_apart() -> None:
    """Six cells of unlike batch size would all be at one context, under six block sizes."""
    study = find_study("block_size_sweep").load()
    with pytest.raises(
        ConfigError, match="context_bytes=64 would leave block_size without effect"
    ):
        cells_of(study, {"context_bytes": "64"})


@pytest.mark.parametrize(
    ("config", "key", "value"),
    [
        (replace(BASE, model=ModelConfig(context_bytes=64)), "block_size", "32"),
        (replace(BASE, tokenizer=TokenizerConfig(kind="byte")), "vocab_size", "512"),
        (replace(BASE, model=ModelConfig(kind="bigram")), "n_layer", "2"),
        (BASE, "embedding_dropout", "False"),
        (BASE, "muon_iterations", "5"),
    ],
)
def test_a_setting_that_no_cell_heeds_is_refused(config: RunConfig, key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"--set {key}={value} would change nothing"):
        cells_of(Study(lambda _: config), {key: value})


def test_a_setting_that_some_cells_heed_is_taken() -> None:
    grid = cells_of(varies(kind=["char", "bpe"]), {"byte_fallback": "False"})

    assert [cell.config.tokenizer.byte_fallback for cell in grid.cells] == [False, True]


def test_a_setting_under_which_more_counts_makes_more_cells() -> None:
    def cell(trial: Trial) -> RunConfig:
        n = choose(trial, "n", [3, 5])
        return replace(BASE, optimizer=OptimizerConfig(muon_iterations=n))

    assert len(cells_of(Study(cell), {}).cells) == 1
    assert len(cells_of(Study(cell), {"optimizer": "muon"}).cells) == 2


def test_where_no_cell_is_valid_the_reason_is_theirs() -> None:
    with pytest.raises(ConfigError, match="divisible by n_head but got 33"):
        cells_of(varies(n_head=[2, 4]), {"n_embd": "33"})
