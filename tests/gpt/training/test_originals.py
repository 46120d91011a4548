"""What the originals claim, measured; and that our presets compute what their code computes."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt.config import RunConfig
from gpt.model.gpt import build_model
from gpt.presets import ORIGINAL_QUIXOTE, ORIGINAL_SHAKESPEARE, PRESETS


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1337)


class TestScaledScores:
    """ "When input Q, K are unit variance, wei will be unit variance too"."""

    @pytest.mark.parametrize("head_size", [16, 64, 256])
    def test_variance(self, head_size: int, generator: torch.Generator) -> None:
        q, k = (torch.randn(64, 32, head_size, generator=generator) for _ in range(2))

        scores = q @ k.transpose(-2, -1)  # (B, T, T)

        assert scores.var().item() == pytest.approx(head_size, rel=0.1)
        assert (scores * head_size**-0.5).var().item() == pytest.approx(1, rel=0.1)

    def test_scaling_by_all_channels_makes_them_smaller_than_that(
        self, generator: torch.Generator
    ) -> None:
        """The quirk of both originals: C ** -0.5 leaves a variance of D / C = 1 / H."""
        C, H = 128, 4
        q, k = (torch.randn(64, 32, C // H, generator=generator) for _ in range(2))

        scores = q @ k.transpose(-2, -1) * C**-0.5

        assert scores.var().item() == pytest.approx(1 / H, rel=0.1)


class TestSoftmaxSharpens:
    """ "Gets too peaky, converges to one-hot"."""

    X = torch.tensor([0.1, -0.2, 0.3, -0.2, 0.5])

    def test_the_notebooks_numbers(self) -> None:
        soft = torch.tensor([0.1925, 0.1426, 0.2351, 0.1426, 0.2872])
        sharp = torch.tensor([0.0326, 0.0030, 0.1615, 0.0030, 0.8000])

        torch.testing.assert_close(self.X.softmax(-1), soft, rtol=0, atol=6e-5)
        torch.testing.assert_close((8 * self.X).softmax(-1), sharp, rtol=0, atol=6e-5)

    def test_converges_to_one_hot(self) -> None:
        largest = [(factor * self.X).softmax(-1).max().item() for factor in (0, 1, 8, 64, 512)]

        assert largest == sorted(set(largest))
        assert largest[0] == pytest.approx(1 / 5)
        assert largest[-1] == pytest.approx(1)


class LayerNorm1d:
    """The originals' norm, without its weights, which start as 1 and 0: the variance is an
    unbiased estimate, over n − 1."""

    def __init__(self, eps: float = 1e-5) -> None:
        self.eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        variance = centred.square().sum(1, keepdim=True) / (x.shape[1] - 1)
        return centred / (variance + self.eps).sqrt()


class TestLayerNorm1d:
    def test_normalises_rows_not_columns(self, generator: torch.Generator) -> None:
        x = LayerNorm1d()(torch.randn(32, 100, generator=generator))

        torch.testing.assert_close(x.mean(1), torch.zeros(32), rtol=0, atol=1e-6)
        torch.testing.assert_close(x.std(1), torch.ones(32), rtol=0, atol=1e-4)
        # over 32 rows a column's mean has a deviation of 1 / √32 = 0.18, its deviation one of 0.13
        assert 0.1 < x.mean(0).std().item() < 0.3
        assert 0.05 < x.std(0).std().item() < 0.25

    @pytest.mark.parametrize("n", [2, 10, 100])
    def test_differs_from_torchs_by_n_minus_1_against_n(
        self, n: int, generator: torch.Generator
    ) -> None:
        x = torch.randn(32, n, generator=generator, dtype=torch.float64)

        theirs, ours = LayerNorm1d(eps=0.0)(x), F.layer_norm(x, (n,), eps=0.0)

        torch.testing.assert_close(theirs, ours * math.sqrt((n - 1) / n))
        assert not torch.allclose(theirs, ours)


@pytest.mark.parametrize("name", PRESETS)
def test_first_loss_is_near_ln_v(name: str) -> None:
    """8.29 is what the notebook expects of 4,000 tokens; ln 65 = 4.17.

    With torch's init the logits have a variance σ², and the loss is σ² / 2 higher: after a final
    norm σ² = 1/3, the variance of U(±1/√C) times C; without one, more.
    """
    preset = PRESETS[name]
    V = preset.tokenizer.vocab_size or 65
    torch.manual_seed(0)
    shape = replace(preset.model, kernel="sdpa")  # `auto` is settled by set_up
    model = build_model(shape, V).eval()
    idx = torch.randint(V, (2, preset.model.block_size + 1))

    with torch.no_grad():
        loss = model(idx[:, :-1], idx[:, 1:]).item()

    above = {"original-shakespeare": 0.4, "original-quixote": 1 / 6}.get(name, 0.0)
    assert loss - math.log(V) == pytest.approx(above, abs=0.15)


@pytest.mark.parametrize("preset", [ORIGINAL_SHAKESPEARE, ORIGINAL_QUIXOTE])
def test_a_preset_computes_what_the_originals_code_says(preset: RunConfig) -> None:
    """Their forward pass, written out in float64 over our weights, at a small size."""
    config = replace(preset.model, block_size=6, n_layer=2, n_head=3, n_embd=12)
    model = build_model(config, 10).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    w = model.state_dict()
    idx = torch.randint(10, (4, 6))
    tril = torch.tril(torch.ones(6, 6))

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (12,), w[f"{name}.weight"], w[f"{name}.bias"])

    x = w["token_embedding.weight"][idx] + w["position_embedding.weight"]  # (B, T, C)
    for block in ("blocks.0", "blocks.1"):
        read, outs = norm(x, f"{block}.attention_norm"), []
        for h in range(3):
            q, k, v = (
                read @ w[f"{block}.attention.heads.{h}.{role}.weight"].T
                for role in ("query", "key", "value")
            )  # (B, T, D) each
            scores = q @ k.transpose(-2, -1) * 12**-0.5  # (B, T, T)
            outs.append(scores.masked_fill(tril == 0, float("-inf")).softmax(-1) @ v)
        x = x + linear(torch.cat(outs, dim=-1), f"{block}.attention.projection")
        hidden = linear(norm(x, f"{block}.mlp_norm"), f"{block}.mlp.expand").clamp_min(0)
        x = x + linear(hidden, f"{block}.mlp.projection")
    if config.final_norm == "applied":
        x = norm(x, "final_norm")

    torch.testing.assert_close(model(idx), linear(x, "head"))
