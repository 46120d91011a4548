"""The layers, each against what its definition says of it."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gpt.config import ModelConfig
from gpt.layers import MLP, QueryKeyTransform

TINY = ModelConfig(block_size=8, n_layer=2, n_head=2, n_embd=8)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def test_rotated_scores_depend_on_the_distance_alone() -> None:
    rotate = QueryKeyTransform(replace(TINY, position="rotary", n_head=1))
    q, k = torch.randn(2, 8).double()  # one query and one key, D = 8

    def score(i: int, j: int) -> Tensor:
        return rotate(q[None], i)[0] @ rotate(k[None], j)[0]

    assert rotate(q[None], 3).norm().item() == pytest.approx(q.norm().item())
    torch.testing.assert_close(score(5, 3), score(2, 0), rtol=0, atol=1e-6)
    torch.testing.assert_close(score(7, 7), q @ k, rtol=0, atol=1e-6)
    assert not torch.isclose(score(5, 3), score(5, 4), atol=1e-3)


def test_a_rotation_starts_where_it_is_told() -> None:
    rotate = QueryKeyTransform(replace(TINY, position="rotary"))
    x = torch.randn(2, 3, 8, 4)  # (B, H, T, D)

    torch.testing.assert_close(rotate(x[:, :, 3:], start=3), rotate(x)[:, :, 3:])


def test_qk_norm_gives_unit_root_mean_square() -> None:
    norm = QueryKeyTransform(replace(TINY, qk_norm=True))
    x = 7 * torch.randn(2, 3, 8, 4)

    torch.testing.assert_close(norm(x).square().mean(-1), torch.ones(2, 3, 8))
    assert norm(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("activation", "expected"), [("relu", 3.0), ("relu2", 9.0), ("gelu", 2.99595)]
)
def test_activation(activation: str, expected: float) -> None:
    """Of one hidden channel, which is the first one of the input, and of the output."""
    mlp = MLP(replace(TINY, activation=activation))  # type: ignore[arg-type]
    for parameter in mlp.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.ones_(mlp.expand.weight[0, :1])
    torch.nn.init.ones_(mlp.projection.weight[:1, 0])
    x = torch.zeros(2, TINY.n_embd)
    x[:, 0] = torch.tensor([3.0, -50.0])

    assert mlp(x)[:, 0].tolist() == pytest.approx([expected, 0.0], abs=1e-5)
