"""A config settled on a text and a machine."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.run.canary import check_canary
from gpt.config import CorpusConfig, RunConfig, TokenizerConfig
from gpt.errors import ConfigError, DataError, MachineError
from gpt.presets import PRESETS
from gpt.training.setup import Setup, load_text, set_up

Settle = Callable[[RunConfig], Setup]


@pytest.fixture
def settle(cache: Path) -> Settle:
    return lambda config: set_up(config, cache=cache)


def weights(setup: Setup) -> torch.Tensor:
    return torch.cat([parameter.flatten() for parameter in setup.model.parameters()])


def test_the_seed_alone_decides_the_weights(tiny: RunConfig, settle: Settle) -> None:
    one = weights(settle(tiny))
    torch.manual_seed(99)

    assert torch.equal(weights(settle(tiny)), one)
    assert not torch.equal(weights(settle(tiny.with_seed(1))), one)


def test_the_callers_randomness_is_left_alone(tiny: RunConfig, settle: Settle) -> None:
    before = torch.get_rng_state()

    settle(tiny)

    assert torch.equal(torch.get_rng_state(), before)


def test_auto_is_settled_and_named(
    tiny: RunConfig, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt.device.available_devices", lambda: ["cpu"])
    setup = settle(tiny.override({"device": "auto"}))

    assert setup.config.train.device == "cpu"
    assert next(setup.model.parameters()).device == setup.device == torch.device("cpu")


def test_an_absent_device_is_refused_before_the_text_is_read(
    tiny: RunConfig, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpt.device.available_devices", lambda: ["cpu"])
    config = tiny.replace(corpus=CorpusConfig(name="no such"))

    with pytest.raises(MachineError, match=r"one of this machine's \(cpu\) but got cuda"):
        settle(config.override({"device": "cuda"}))


def test_context_in_bytes_becomes_tokens(tiny: RunConfig, settle: Settle) -> None:
    """For bytes as they are; for bpe by its average, so that both see equally far."""
    model = replace(tiny.model, context_bytes=24)
    byte = settle(tiny.replace(model=model, tokenizer=TokenizerConfig(kind="byte")))
    bpe = settle(tiny.replace(model=model, tokenizer=TokenizerConfig(kind="bpe", vocab_size=300)))
    average = bpe.text.encoded.train_bytes / len(bpe.text.encoded.train)

    assert byte.config.model.block_size == byte.model.block_size == 24
    assert bpe.config.model.block_size == bpe.model.block_size == round(24 / average)
    assert average > 1.4


@pytest.mark.parametrize("preset", ["modern", "original-shakespeare", "bigram"])
def test_the_plain_model_in_float32_sees_as_far(
    preset: str, tiny: RunConfig, settle: Settle
) -> None:
    """Also a context in bytes that holds more tokens than a config's own default."""
    model = replace(PRESETS[preset].model, n_layer=1, n_head=2, n_embd=8, context_bytes=80)
    setup = settle(tiny.replace(model=model, tokenizer=TokenizerConfig(kind="byte")))

    assert setup.in_float32().model.block_size == setup.model.block_size == 80
    check_canary(setup)


def test_a_settled_config_settles_to_itself(tiny: RunConfig, settle: Settle) -> None:
    setup = settle(tiny.override({"context_bytes": "40", "device": "auto"}))

    assert settle(setup.config).config == setup.config


def test_the_stride_must_fit_a_context_given_in_bytes(tiny: RunConfig, settle: Settle) -> None:
    config = tiny.override({"context_bytes": "10", "eval_stride": "11", "tokenizer": "byte"})

    with pytest.raises(ConfigError, match="eval_stride must not exceed block_size but got 11, 10"):
        settle(config)


def test_a_text_no_longer_than_the_block_is_refused(tiny: RunConfig, settle: Settle) -> None:
    text = settle(tiny).text.encoded

    with pytest.raises(DataError, match=f"block_size {len(text.val)} but .*{len(text.val)}:"):
        settle(tiny.override({"block_size": str(len(text.val))}))


def test_the_text_is_as_in_the_file(tiny: RunConfig, cache: Path) -> None:
    text = load_text(tiny, cache=cache)
    both = text.tokenizer.decode(text.encoded.train) + text.tokenizer.decode(text.encoded.val)

    assert both == Path(tiny.corpus.name).read_text("utf-8")
