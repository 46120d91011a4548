"""The layers, each against what its definition says of it."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gpt.attention import Kernel
from gpt.attention.cache import KVCache
from gpt.config import ModelConfig
from gpt.model.heads import make_attention
from gpt.model.layers import MLP, QueryKeyTransform

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


def fused_scores(attention: nn.Module, x: Tensor) -> Tensor:
    """(B, H, T, T): the products of what the module hands to its kernel."""
    handed: list[Tensor] = []

    def kernel(q: Tensor, k: Tensor, v: Tensor, **_: object) -> Tensor:
        handed.append(q @ k.mT)
        return v

    attention.kernel = Kernel(name="", attend=kernel)
    attention(x)
    return handed[0]


def per_head_scores(attention: nn.Module, x: Tensor) -> Tensor:
    scores = []
    for head in attention.heads:
        q, k, _ = head.project(x)
        scores.append(q @ k.mT)
    return torch.stack(scores, dim=1)


def cached_scores(attention: nn.Module, x: Tensor) -> Tensor:
    """Of queries that come one by one, each with the keys remembered until then; else 0."""
    cache, T = KVCache(1, x.shape[1]), x.shape[1]
    scores = torch.zeros(len(x), TINY.n_head, T, T)
    layer = cache.layers[0]
    attend = layer.attend

    def watched(q: Tensor, k: Tensor, v: Tensor, *, scale: float) -> Tensor:
        start = int(layer.start)
        keys.append(k)
        scores[:, :, start, : start + 1] = (q @ torch.cat(keys, dim=2).mT).squeeze(2)
        return attend(q, k, v, scale=scale)

    keys: list[Tensor] = []
    layer.attend = watched  # type: ignore[method-assign]
    for t in range(T):
        attention(x[:, t : t + 1], layer)
    return scores


def by_distance(scores: Tensor, *, most: float = 1e-5) -> bool:
    """Whether a score with a key at or before its query depends on their distance alone."""
    T = scores.shape[-1]
    diagonals = (scores.diagonal(-distance, -2, -1) for distance in range(T))
    return all(float((d - d[..., :1]).abs().max()) < most for d in diagonals)


@pytest.mark.parametrize(
    ("layout", "scores_of"),
    [("fused", fused_scores), ("per_head", per_head_scores), ("fused", cached_scores)],
    ids=["fused", "per_head", "cached"],
)
def test_the_scores_of_attention_depend_on_the_distance_alone(
    layout: str, scores_of: Callable[[nn.Module, Tensor], Tensor]
) -> None:
    """The same token at every place: q and k differ by their positions alone."""
    config = replace(TINY, position="rotary", attention=layout, n_embd=16)  # type: ignore[arg-type]
    attention = make_attention(config)
    x = torch.randn(2, 1, 16).expand(2, TINY.block_size, 16)
    with torch.no_grad():
        scores = scores_of(attention, x)

    assert by_distance(scores)
    assert scores.diagonal(0, -2, -1).sub(scores.diagonal(-3, -2, -1)[..., :1]).abs().max() > 0.01


def test_keys_that_turn_the_other_way_are_seen() -> None:
    """So that the test above can fail."""
    rotate = QueryKeyTransform(replace(TINY, position="rotary", n_head=1))
    q, k = (torch.randn(1, 8).expand(8, 8) for _ in range(2))  # (T, D)
    back = deepcopy(rotate)
    back.sin.neg_()

    assert by_distance(rotate(q) @ rotate(k).mT)
    assert not by_distance(rotate(q) @ back(k).mT, most=0.1)


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
