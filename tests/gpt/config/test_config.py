"""Configs: strict, whole as JSON, and named by what they compute."""

import ast
import inspect
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

import gpt.config
from gpt.config import (
    Budget,
    CorpusConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    TokenizerConfig,
    TrainConfig,
)
from gpt.config.run import tidy
from gpt.errors import ConfigError, ConfigTypeError

WHOLE = RunConfig(
    corpus=CorpusConfig(test_fraction=0.05), model=ModelConfig(attention="fused", dropout=0.1)
)
"""A run of which every field counts."""

CONFIGS = [RunConfig, *get_type_hints(RunConfig).values(), Budget]


def test_override_sets_fields_by_short_and_by_dotted_name() -> None:
    config = RunConfig().override(
        {"n_head": "8", "model.bias": "True", "tokenizer": "byte", "vocab_size": "None"}
    )

    assert config == RunConfig(
        model=ModelConfig(n_head=8, bias=True), tokenizer=TokenizerConfig(kind="byte")
    )


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("n_head", "1e3", "n_head takes int but got 1e3"),
        ("n_head", "8.0", "n_head takes int but got 8.0"),
        ("n_head", "True", "n_head takes int but got True"),
        ("bias", "false", "bias takes bool but got false; write True or False"),
        ("bias", "1", "bias takes bool but got 1; write True or False"),
        ("vocab_size", "many", "vocab_size takes int or None but got many"),
        ("activation", "gell", "activation takes one of relu, gelu, relu2 but got gell"),
        ("dtype", "int8", "dtype takes one of float32, bfloat16, float16, auto but got int8"),
        ("activation", "{[]: 1}", "activation takes one of relu, gelu, relu2 but got {[]: 1}"),
        ("learning_rate", "1e999", "learning_rate must be a finite number but got inf"),
        ("n_heads", "8", "got 'n_heads'; did you mean n_head?"),
        ("model.blocksize", "8", "did you mean model.block_size?"),
        ("?", "8", "known: activation, adamw_multiplier, attention"),
    ],
)
def test_override_refuses(key: str, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        RunConfig().override({key: text})

    assert said in str(error.value)


def test_override_refuses_two_values_for_one_field() -> None:
    with pytest.raises(ConfigError, match=r"set n_head once but model\.n_head"):
        RunConfig().override({"n_head": "2", "model.n_head": "4"})
    with pytest.raises(ConfigError, match="set budget once but tokens"):
        RunConfig().override({"steps": "2", "tokens": "4"})


def test_a_window_may_move_by_a_whole_block() -> None:
    assert RunConfig().override({"block_size": "8", "eval_stride": "8"}).train.eval_stride == 8


def test_override_takes_text_that_looks_like_a_number() -> None:
    assert RunConfig().override({"corpus": "1984"}).corpus.name == "1984"


@pytest.mark.parametrize(
    ("unit", "text", "budget"),
    [
        ("steps", "7", Budget(steps=7)),
        ("bytes", "1_000", Budget(bytes=1000)),
        ("flops", "1e12", Budget(flops=1e12)),
        ("seconds", "5", Budget(seconds=5.0)),
        ("train.budget.tokens", "9", Budget(tokens=9)),
    ],
)
def test_a_unit_replaces_the_budget(unit: str, text: str, budget: Budget) -> None:
    assert RunConfig().override({unit: text}).train.budget == budget


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Budget(), "but got none"),
        (lambda: Budget(steps=1, tokens=1), "but got steps, tokens"),
        (lambda: Budget(steps=0), "positive and finite but got 0 steps"),
        (lambda: Budget(seconds=float("inf")), "positive and finite but got inf seconds"),
        (lambda: Budget(flops=float("nan")), "positive and finite but got nan flops"),
        (lambda: ModelConfig(n_embd=10, n_head=4), "divisible by n_head but got 10 and 4"),
        (lambda: ModelConfig(n_layer=0), "n_layer must be at least 1 but got 0"),
        (lambda: ModelConfig(dropout=1.0), "dropout must be in [0.0, 1.0) but got 1.0"),
        (lambda: ModelConfig(n_embd=12, n_head=4, position="rotary"), "even head size but got 3"),
        (lambda: OptimizerConfig(learning_rate=-1), "learning_rate must be at least 0 but got -1"),
        (lambda: TrainConfig(batch_size=0), "batch_size must be at least 1 but got 0"),
        (lambda: TokenizerConfig(kind="bpe"), "bpe tokenizer needs a vocab_size but got None"),
        (lambda: CorpusConfig(name=""), "name or a path but got ''"),
        (lambda: CorpusConfig(val_fraction=0.0), "val_fraction must be in [0.001, 0.9)"),
        (lambda: CorpusConfig(val_fraction=0.5, test_fraction=0.5), "must leave text to train on"),
        (
            lambda: RunConfig(model=ModelConfig(block_size=8), train=TrainConfig(eval_stride=9)),
            "eval_stride must not exceed block_size but got 9 and 8",
        ),
        (
            lambda: RunConfig(train=TrainConfig(measure_test=True)),
            "measure_test needs a test part but got a test_fraction of 0.0",
        ),
    ],
)
def test_values_are_checked_when_a_config_is_made(make: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        make()

    assert said in str(error.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ModelConfig(bias=1), "bias must be bool but got 1"),
        (lambda: ModelConfig(n_layer=True), "n_layer must be int but got True"),
        (lambda: ModelConfig(dropout=False), "dropout must be float but got False"),
        (lambda: ModelConfig(norm=3), "norm must be one of layernorm, rmsnorm but got 3"),
        (lambda: ModelConfig(context_bytes=1.5), "context_bytes must be int or None but got 1.5"),
        (lambda: TrainConfig(log_interval=5.0), "log_interval must be int but got 5.0"),
        (lambda: TrainConfig(budget=7), "budget must be Budget but got 7"),
        (lambda: Budget(steps=7.5), "steps must be int or None but got 7.5"),
        (lambda: Budget(flops="1e9"), "flops must be float or None but got '1e9'"),
        (lambda: CorpusConfig(name=Path("x")), "name must be str but got PosixPath('x')"),
        (lambda: CorpusConfig(name=np.array(["x"])), "name must be str but got ['x']"),
        (lambda: RunConfig(model={"n_layer": 2}), "model must be ModelConfig but got {'n_layer'"),
    ],
)
def test_a_field_takes_no_other_type(make: Any, said: str) -> None:
    with pytest.raises(ConfigTypeError) as error:
        make()

    assert said in str(error.value)


def test_what_numpy_made_becomes_python_s_own() -> None:
    model = ModelConfig(n_layer=np.int64(2), dropout=np.float64(0.5), bias=np.bool_(True))
    config = RunConfig(model=model, train=TrainConfig(budget=Budget(steps=np.int32(7))))

    assert config.model == ModelConfig(n_layer=2, dropout=0.5, bias=True)
    assert [type(v) for v in (model.n_layer, model.dropout, model.bias)] == [int, float, bool]
    assert RunConfig.from_json(config.to_json()) == config


def test_every_field_s_type_is_one_that_is_checked() -> None:
    """A value of a type of its own fits no field."""
    for config in CONFIGS:
        for field in fields(config):
            with pytest.raises(ConfigTypeError, match=f"^{field.name} must be "):
                config(**{field.name: object()})


def test_overrides_have_one_tidy_form() -> None:
    typed = {"model.n_layer": "2", "steps": "1_000", "corpus.name": "song.txt", "bias": "True"}
    same = {"n_layer": "2", "train.budget.steps": "1000", "corpus": "song.txt", "bias": "True"}

    assert tidy(typed) == tidy(same)
    assert tidy(typed) == {"n_layer": "2", "corpus": "song.txt", "bias": "True", "steps": "1000"}
    assert RunConfig().override(tidy(typed)) == RunConfig().override(typed)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (c, name)
        for c in CONFIGS[1:-1]
        for name, hint in get_type_hints(c).items()
        if get_args(hint) and isinstance(get_args(hint)[0], str)
    ],
)
def test_every_choice_is_checked(config: Any, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be one of .* but got 'no such'"):
        config(**{name: "no such"})


def test_json_round_trip_is_whole() -> None:
    for config in [RunConfig(), *_changed(WHOLE)]:
        back = RunConfig.from_json(config.to_json())

        assert back == config
        assert back.key == config.key


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"n_head": 4', '"n_head": "4"', "model.n_head: "),
        ('"n_head": 4', '"n_head": 4.0', "model.n_head: "),
        ('"n_head": 4', '"n_heads": 4', "model.n_heads: "),
        ('"n_head": 4', '"n_head": 3', "divisible by n_head"),
        ('"bias": false', '"bias": 0', "model.bias: "),
        ('"corpus"', '"korpus"', "korpus: "),
        ("{", "[", "the whole: "),
    ],
)
def test_json_that_is_unknown_or_mistyped_is_refused(old: str, new: str, said: str) -> None:
    text = RunConfig().to_json()
    assert old in text

    with pytest.raises(ConfigError) as error:
        RunConfig.from_json(text.replace(old, new, 1))

    assert said in str(error.value)


def test_the_key_differs_for_each_field() -> None:
    changed = list(_changed(WHOLE))
    keys = {config.key for config in changed}

    assert WHOLE.key not in keys
    assert len(keys) == len(changed) > 40


def test_the_key_is_the_same_in_another_process() -> None:
    script = "from gpt.config import RunConfig; print(RunConfig().key)"
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    assert there.stdout.decode().strip() == RunConfig().key


def test_what_was_worked_out_of_a_config_is_no_part_of_it() -> None:
    config = RunConfig().with_seed(3)
    key, flat = config.key, config.flat()

    assert config.cell_key != key  # it may be remembered
    assert (config.key, config.flat()) == (key, flat)


def test_the_cell_key_forgets_the_seed_alone() -> None:
    config = RunConfig()

    assert config.with_seed(3).cell_key == config.cell_key
    assert config.with_seed(3).key != config.key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            RunConfig(tokenizer=TokenizerConfig(kind="char", vocab_size=512)),
            RunConfig(tokenizer=TokenizerConfig(kind="char")),
        ),
        (
            RunConfig(model=ModelConfig(kind="bigram", n_head=1)),
            RunConfig(model=ModelConfig(kind="bigram", n_head=2)),
        ),
        (
            RunConfig(model=ModelConfig(attention="per_head", kernel="sdpa")),
            RunConfig(model=ModelConfig(attention="per_head", kernel="matmul")),
        ),
        (
            RunConfig(model=ModelConfig(context_bytes=64, block_size=8)),
            RunConfig(model=ModelConfig(context_bytes=64, block_size=256)),
        ),
        (
            RunConfig(model=ModelConfig(kind="bigram", context_bytes=64, block_size=8)),
            RunConfig(model=ModelConfig(kind="bigram", context_bytes=64)),
        ),
        (RunConfig(model=ModelConfig(embedding_dropout=False)), RunConfig()),
        (RunConfig(optimizer=OptimizerConfig(adamw_multiplier=2.0)), RunConfig()),
        (
            RunConfig(optimizer=OptimizerConfig(schedule="constant", final_fraction=0.5)),
            RunConfig(optimizer=OptimizerConfig(schedule="constant")),
        ),
        (
            RunConfig(train=TrainConfig(budget=Budget(seconds=5))),
            RunConfig(train=TrainConfig(budget=Budget(seconds=5.0))),
        ),
    ],
)
def test_runs_that_compute_the_same_have_one_key(one: RunConfig, other: RunConfig) -> None:
    assert one.key == other.key


def test_every_flat_name_is_unique() -> None:
    n_fields = sum(len(fields(section)) for section in get_type_hints(RunConfig).values())

    assert len(RunConfig().flat()) == n_fields
    assert RunConfig().flat()["budget"] == "2,000 steps"


def test_every_field_is_documented() -> None:
    for config in CONFIGS:
        body = ast.parse(inspect.getsource(config)).body[0].body
        followers = dict(zip(body, islice(body, 1, None), strict=False))
        documented = [
            node.target.id
            for node, after in followers.items()
            if isinstance(node, ast.AnnAssign)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ]
        assert documented == [field.name for field in fields(config)], config.__name__


def test_every_config_is_frozen_and_exported() -> None:
    for config in CONFIGS:
        assert is_dataclass(config)
        assert config.__dataclass_params__.frozen
        assert config.__name__ in gpt.config.__all__


def _changed(config: RunConfig) -> Iterator[RunConfig]:
    """Copies of a config, each with one field changed to another value that counts."""
    for part in fields(config):
        section = getattr(config, part.name)
        for name, hint in get_type_hints(type(section)).items():
            change = {name: _another(getattr(section, name), hint)}
            if name in ("adamw_multiplier", "muon_iterations"):
                change["kind"] = "muon"
            if part.name == "tokenizer" and name in ("kind", "vocab_size"):
                change = {"kind": "bpe", "vocab_size": 512 if name == "kind" else 1024}
            yield config.replace(**{part.name: replace(section, **change)})
    for budget in (Budget(tokens=9), Budget(bytes=9), Budget(flops=9e12), Budget(seconds=0.5)):
        yield config.replace(train=replace(config.train, budget=budget))


def _another(value: Any, hint: Any) -> Any:
    """A valid value of the field's type that differs from `value`."""
    if isinstance(value, Budget):
        return Budget(steps=value.steps + 1)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return 2 * value + 1 if value % 2 else 2 * value or 3
    if isinstance(value, float):
        return value / 2 + 0.01
    if value is None:
        return 8
    choices = get_args(hint)
    return next(choice for choice in choices if choice != value) if choices else value + "x"
