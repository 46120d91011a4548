"""Sampling, from models whose next-token distribution is known."""

import math
from collections import Counter

import pytest
import torch

from gpt.acceleration import cuda_graph
from gpt.config import ModelConfig
from gpt.errors import ConfigError
from gpt.generate import generate
from gpt.model.gpt import GPT, Bigram, LanguageModel
from gpt.tokenizers.byte import ByteTokenizer


def model_of(weights: list[float], block_size: int = 4) -> LanguageModel:
    """A model that gives every token the chance of its weight, whatever came before."""
    model = Bigram(ModelConfig(kind="bigram", block_size=block_size), len(weights))
    row = torch.tensor(weights).log()
    model.table.weight.data = row.expand(len(weights), -1).clone()
    return model


@pytest.fixture
def gpt() -> GPT:
    torch.manual_seed(0)
    return GPT(
        ModelConfig(block_size=8, n_layer=1, n_head=2, n_embd=8, dropout=0.5, init="torch"), 20
    )


def naive_argmax(model: LanguageModel, prompt: list[int], n_tokens: int) -> list[int]:
    model.eval()
    tokens = list(prompt)
    for _ in range(n_tokens):
        logits = model(torch.tensor([tokens[-model.block_size :]]))
        tokens.append(int(logits[0, -1].argmax()))
    return tokens[len(prompt) :]


def test_the_same_seed_gives_the_same_text(gpt: GPT) -> None:
    one, same, other = (generate(gpt, [0], 50, seed=seed) for seed in (3, 3, 4))

    assert one == same != other


def test_it_neither_needs_nor_moves_torchs_own_generator(gpt: GPT) -> None:
    expected = generate(gpt, [0], 50, seed=3)
    torch.manual_seed(99)
    before = torch.get_rng_state()

    assert generate(gpt, [0], 50, seed=3) == expected
    assert torch.equal(torch.get_rng_state(), before)


def test_onednn_is_as_it_was_afterwards(gpt: GPT) -> None:
    before = torch.backends.mkldnn.enabled
    generate(gpt, [0], 2, seed=0)

    assert torch.backends.mkldnn.enabled == before


@pytest.mark.parametrize("how", [{"temperature": 0.0}, {"top_k": 1}, {"temperature": 1e-45}])
def test_the_likeliest_token_each_time(how: dict[str, float], gpt: GPT) -> None:
    assert generate(gpt, [1, 2], 30, seed=0, **how) == naive_argmax(gpt, [1, 2], 30)


def test_it_samples_as_often_as_the_model_says() -> None:
    drawn = Counter(generate(model_of([1, 2, 5]), [0], 4000, seed=0))

    for token, share in enumerate([1 / 8, 2 / 8, 5 / 8]):
        deviation = math.sqrt(4000 * share * (1 - share))
        assert abs(drawn[token] - 4000 * share) < 4 * deviation


def test_temperature_divides_the_logits() -> None:
    """At temperature 1/2 the chances 1/3 and 2/3 become 1/5 and 4/5."""
    drawn = Counter(generate(model_of([1, 2]), [0], 4000, seed=0, temperature=0.5))

    assert abs(drawn[0] - 800) < 4 * math.sqrt(4000 * 0.2 * 0.8)


def test_top_k_keeps_the_k_likeliest_in_their_proportion() -> None:
    drawn = Counter(generate(model_of([1, 3, 2, 6]), [0], 4000, seed=0, top_k=2))

    assert set(drawn) == {1, 3}
    assert abs(drawn[3] - 4000 * 6 / 9) < 4 * math.sqrt(4000 * 2 / 9)


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_top_k_is_exact_where_tokens_are_tied(k: int) -> None:
    assert len(set(generate(model_of([1] * 5), [0], 200, seed=0, top_k=k))) == min(k, 5)


def test_a_text_longer_than_the_block_follows_its_last_tokens(gpt: GPT) -> None:
    prompt = list(range(20))

    out = generate(gpt, prompt, 30, seed=0)

    assert len(out) == 30
    assert out == generate(gpt, prompt[-gpt.block_size :], 30, seed=0)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_sleeps_and_the_mode_is_kept(training: bool, gpt: GPT) -> None:
    gpt.train(training)
    seen = []
    gpt.register_forward_hook(lambda model, *_: seen.append(model.training))

    generate(gpt, [0], 3, seed=0)

    assert seen == [False] * 3
    assert gpt.training is training


def test_half_a_character_is_shown_as_a_replacement_not_raised() -> None:
    """The bytes of "é" are 195 and 169; here only the first is ever written."""
    model = model_of([1e-9] * 195 + [1.0] + [1e-9] * 60)

    text = ByteTokenizer().decode(generate(model, [0], 2, seed=0, temperature=0))

    assert text == "\ufffd\ufffd"


@pytest.mark.parametrize(
    ("prompt", "how", "said"),
    [
        ([], {}, "at least one token but got none"),
        ([0], {"temperature": -1.0}, "temperature must be at least 0 but got -1.0"),
        ([0], {"temperature": math.nan}, "temperature must be at least 0 but got nan"),
        ([0], {"top_k": 0}, "top_k must be at least 1 but got 0"),
    ],
)
def test_it_refuses(prompt: list[int], how: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        generate(model_of([1, 1]), prompt, 1, seed=0, **how)


@pytest.mark.parametrize("keep", [1, 3, 8])
def test_a_full_block_starts_anew_with_what_it_keeps(keep: int, gpt: GPT) -> None:
    """Against recomputing everything: the context fills the block, then shrinks."""
    gpt.eval()
    context = [1, 2]
    expected: list[int] = []
    for _ in range(20):
        if len(context) > gpt.block_size:
            context = [1, 2, *expected][-keep:]
        expected.append(int(gpt(torch.tensor([context]))[0, -1].argmax()))
        context = [*context, expected[-1]]
    assert generate(gpt, [1, 2], 20, seed=0, temperature=0, keep=keep) == expected


@pytest.mark.parametrize("keep", [0, 9])
def test_what_is_kept_must_fit_the_block(keep: int, gpt: GPT) -> None:
    with pytest.raises(ConfigError, match=r"keep must be in \[1, 8\]"):
        generate(gpt, [1], 1, seed=0, keep=keep)


@pytest.mark.parametrize("how", [{}, {"keep": 1}, {"keep": 5, "top_k": 3}])
def test_what_is_written_for_a_graph_is_the_same_text(
    gpt: GPT, how: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a graph, which takes CUDA: tests/gpt/acceleration/test_cuda_graph.py."""
    monkeypatch.setattr(cuda_graph, "capture", lambda work, **_: (work, None))
    plain, captured = (
        generate(gpt, [1, 2], 30, seed=0, cuda_graph=flag, **how) for flag in (False, True)
    )

    assert plain == captured
