"""The presets are the systems they name, by the numbers that those systems are known by."""

import pytest

from gpt.config import RunConfig, TrainConfig
from gpt.model.gpt import build_model
from gpt.presets import NANOGPT, ORIGINAL_QUIXOTE, ORIGINAL_SHAKESPEARE, PRESETS


def test_names() -> None:
    originals = {"original-shakespeare", "original-quixote", "bigram"}

    assert set(PRESETS) == originals | {"nanogpt", "modern"}


@pytest.mark.parametrize("name", PRESETS)
def test_survives_json(name: str) -> None:
    assert RunConfig.from_json(PRESETS[name].to_json()) == PRESETS[name]


def test_nanogpt_has_its_number_of_parameters() -> None:
    """nanoGPT prints 0.80M for this recipe: all but the position embeddings."""
    V, T, C, L = 65, 64, 128, 4
    attention = C * 3 * C + C * C
    mlp = C * 4 * C + 4 * C * C
    n_params = V * C + T * C + L * (attention + mlp + 2 * C) + C  # the head is the embedding

    model = build_model(NANOGPT.model, V)

    assert model.n_params == n_params == 804_096
    assert f"{(model.n_params - T * C) / 1e6:.2f}M" == "0.80M"


def test_nanogpts_schedule_in_steps() -> None:
    steps = NANOGPT.train.budget.amount

    assert NANOGPT.optimizer.warmup_fraction * steps == 100
    assert NANOGPT.optimizer.learning_rate * NANOGPT.optimizer.final_fraction == 1e-4
    assert steps / NANOGPT.train.evaluations == 250


def test_reproductions_are_evaluated_on_the_whole_text_alone() -> None:
    parts = {name: preset.train.val_part_bytes for name, preset in PRESETS.items()}

    assert parts.pop("modern") == TrainConfig().val_part_bytes
    assert set(parts.values()) == {None}


def test_original_shakespeare_has_its_number_of_parameters() -> None:
    """10.788929 million, as the lecture that it follows prints."""
    V, T, C, L = 65, 256, 384, 6
    attention = 3 * C * C + C * C + C  # no bias on q, k and v
    mlp = C * 4 * C + 4 * C + 4 * C * C + C
    n_params = V * C + T * C + L * (attention + mlp + 4 * C) + 2 * C + C * V + V

    assert build_model(ORIGINAL_SHAKESPEARE.model, V).n_params == n_params == 10_788_929


@pytest.mark.parametrize("preset", [ORIGINAL_SHAKESPEARE, ORIGINAL_QUIXOTE])
def test_quirks_of_the_originals(preset: RunConfig) -> None:
    model, optimizer = preset.model, preset.optimizer

    assert model.attention == "per_head"
    assert model.attention_scale == "n_embd"
    assert model.bias
    assert not model.qkv_bias
    assert not model.embedding_dropout
    assert (model.activation, model.init) == ("relu", "torch")
    assert (optimizer.weight_decay, optimizer.decay_all, optimizer.grad_clip) == (0.01, True, 0)
    assert (optimizer.beta1, optimizer.beta2) == (0.9, 0.999)
    assert (optimizer.schedule, optimizer.warmup_fraction) == ("constant", 0)


def test_only_the_first_original_leaves_its_final_norm_unused() -> None:
    unused = {name for name, preset in PRESETS.items() if preset.model.final_norm == "unused"}

    assert unused == {"original-shakespeare"}
