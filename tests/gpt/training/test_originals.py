"""What the originals claim, measured; and that our presets compute what their code computes."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpt.config import ModelConfig, RunConfig
from gpt.config.model import AttentionScale
from gpt.model.gpt import build_model
from gpt.model.heads import attention_scale as scale_of
from gpt.presets import ORIGINAL_QUIXOTE, ORIGINAL_SHAKESPEARE, PRESETS


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("attention_scale", "variance"),
    [("none", 32.0), ("head_size", 1.0), ("n_embd", 1 / 4)],
)
def test_the_variance_of_scores_is_what_the_scale_makes_it(
    attention_scale: AttentionScale, variance: float
) -> None:
    """ "When input Q, K are unit variance, wei will be unit variance too"; not by their quirk.

    Both originals scale by C ** -0.5, which leaves a variance of D / C = 1 / H.
    """
    C, H = 128, 4
    q, k = (torch.randn(64, 32, C // H) for _ in range(2))  # (B, T, D)
    scale = scale_of(ModelConfig(n_embd=C, n_head=H, attention_scale=attention_scale))

    scores = scale * q @ k.mT  # (B, T, T)

    assert scores.var().item() == pytest.approx(variance, rel=0.05)


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
