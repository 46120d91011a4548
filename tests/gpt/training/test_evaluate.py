"""Bits per byte by hand and by brute force, and each token predicted once."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import gpt.training.evaluate
from gpt.config import ModelConfig, RunConfig, TokenizerConfig
from gpt.errors import ConfigError
from gpt.model.gpt import GPT, Bigram, LanguageModel
from gpt.model.loss import IGNORE_INDEX
from gpt.training.batches import sample_batch
from gpt.training.evaluate import Evaluation, estimate_loss, evaluate
from gpt.training.setup import load_text

CPU = torch.device("cpu")
LENGTHS = [1, 2, 4, 5, 6, 7, 10, 11, 23]
T = 5


def uniform(V: int, block_size: int = T) -> LanguageModel:
    """A model that knows nothing: ln V nats for each token."""
    model = Bigram(ModelConfig(kind="bigram", block_size=block_size), V)
    model.table.weight.data.zero_()
    return model


class Witness(LanguageModel):
    """Costs one nat a token, and notes what it was asked: (context, target) in order.

    The token after i must be i + 1, so that a context says where in the text it stands.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__(ModelConfig(block_size=T), vocab_size)
        self.asked: list[tuple[list[int], int]] = []

    def forward(self, idx: Tensor, targets: Tensor, *, reduction: str = "mean") -> Tensor:
        assert reduction == "sum"
        assert (targets != IGNORE_INDEX).any(dim=1).all()  # no window in vain
        for x, y in zip(idx.tolist(), targets.tolist(), strict=True):
            self.asked += [(x[: t + 1], y[t]) for t in range(T) if y[t] != IGNORE_INDEX]
        return (targets != IGNORE_INDEX).sum().float()


def witness(n_tokens: int, stride: int | None) -> Witness:
    model = Witness(n_tokens + 1)
    tokens = np.arange(1, n_tokens + 1, dtype=np.uint16)
    evaluation = evaluate(model, tokens, previous_token=0, n_bytes=1, device=CPU, stride=stride)
    assert evaluation.nats == evaluation.n_tokens == n_tokens
    return model


def test_rule_01_bits_per_byte_by_hand() -> None:
    """Each of 6 tokens costs ln 8 nats = 3 bits; 18 bits over 9 bytes are 2 bits a byte."""
    tokens = np.array([0, 1, 2, 3, 7, 7], dtype=np.uint16)

    result = evaluate(uniform(8), tokens, previous_token=0, n_bytes=9, device=CPU)

    assert result.nats == pytest.approx(6 * math.log(8))
    assert result.loss == pytest.approx(math.log(8))
    assert result.bits_per_byte == pytest.approx(2.0)
    assert (result.n_tokens, result.n_bytes) == (6, 9)


def test_loss_is_over_tokens_and_bits_are_over_bytes() -> None:
    evaluation = Evaluation(nats=10 * math.log(2), n_tokens=4, n_bytes=5)

    assert evaluation.loss == 2.5 * math.log(2)
    assert evaluation.bits_per_byte == pytest.approx(2.0)


@pytest.mark.parametrize("stride", [None, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("n_tokens", LENGTHS)
def test_rule_05_every_token_is_predicted_once(n_tokens: int, stride: int | None) -> None:
    asked = witness(n_tokens, stride).asked

    assert [target for _, target in asked] == list(range(1, n_tokens + 1))


@pytest.mark.parametrize("stride", [None, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("n_tokens", LENGTHS)
def test_every_token_follows_its_own_past(n_tokens: int, stride: int | None) -> None:
    for context, target in witness(n_tokens, stride).asked:
        assert context == list(range(target - len(context), target))
        assert len(context) > min(T - (stride or T), target - 1)


@pytest.mark.parametrize("stride", [0, -1, T + 1])
def test_a_stride_that_would_pass_over_tokens_is_refused(stride: int) -> None:
    with pytest.raises(ConfigError, match=rf"stride must be in \[1, {T}\] but got {stride}"):
        witness(10, stride)


@pytest.mark.parametrize("stride", [1, 2, T])
@pytest.mark.parametrize("max_logits", [1, 200, 1 << 22])
def test_it_equals_one_token_at_a_time_in_float64(
    stride: int, max_logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpt.training.evaluate, "MAX_LOGITS", max_logits)
    torch.manual_seed(0)
    model = GPT(ModelConfig(block_size=T, n_layer=2, n_head=2, n_embd=8, init="torch"), 11)
    tokens = torch.randint(11, (23,)).numpy().astype(np.uint16)

    result = evaluate(model, tokens, previous_token=9, n_bytes=1, device=CPU, stride=stride)

    text = [9, *tokens.tolist()]
    nats = 0.0
    model.double()
    for i in range(1, len(text)):
        window = max(0, math.ceil((i - T) / stride)) * stride  # where its window starts
        row = model(torch.tensor([text[window:i]]))[0, -1]
        nats -= F.log_softmax(row, dim=-1)[text[i]].item()
    assert result.nats == pytest.approx(nats, rel=1e-6)


def test_dropout_sleeps_and_the_mode_is_kept() -> None:
    model = GPT(ModelConfig(block_size=T, n_layer=1, n_head=1, n_embd=8, dropout=0.9), 11)
    tokens = np.arange(11, dtype=np.uint16)
    for training in (True, False):
        model.train(training)
        one, same = (
            evaluate(model, tokens, previous_token=0, n_bytes=1, device=CPU) for _ in range(2)
        )
        assert one == same
        assert model.training is training


def test_rule_01_the_denominator_is_the_raw_text_whatever_the_tokenizer(
    tiny: RunConfig, cache: Path
) -> None:
    raw = Path(tiny.corpus.name).read_bytes()
    encoded = {
        kind: load_text(tiny.replace(tokenizer=tokenizer), cache=cache).encoded
        for kind, tokenizer in {
            "byte": TokenizerConfig(kind="byte"),
            "char": TokenizerConfig(kind="char"),
            "bpe": TokenizerConfig(kind="bpe", vocab_size=300),
        }.items()
    }

    assert len({text.val_bytes for text in encoded.values()}) == 1
    assert {text.train_bytes + text.val_bytes for text in encoded.values()} == {len(raw)}
    assert len(encoded["byte"].val) == encoded["byte"].val_bytes
    assert len(encoded["bpe"].val) < len(encoded["char"].val) < len(encoded["byte"].val)


def test_the_originals_estimate_is_the_mean_of_batches() -> None:
    """A bigram table that expects zeros: ln(1 + 1/e) for each, one more for each one."""
    model = uniform(2)
    model.table.weight.data[:] = torch.tensor([1.0, 0.0])
    tokens = np.random.default_rng(0).integers(0, 2, 500).astype(np.uint16)
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    loss = estimate_loss(
        model, tokens, n_batches=3, batch_size=2, generator=generators[0], device=CPU
    )

    ones = [sample_batch(tokens, T, 2, generators[1])[1].float().mean().item() for _ in range(3)]
    assert len(set(ones)) == 3
    assert loss == pytest.approx(math.log(1 + math.exp(-1)) + sum(ones) / 3)
