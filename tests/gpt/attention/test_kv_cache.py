"""Keys and values in steps of any size, at places of any kind, give what one pass gives."""

from dataclasses import replace

import pytest
import torch

from gpt.attention.cache import KVCache, LayerCache
from gpt.attention.plain import matmul
from gpt.config import ModelConfig
from gpt.errors import ConfigError
from gpt.model.gpt import GPT


def random_qkv(B: int, H: int, T: int, D: int) -> tuple[torch.Tensor, ...]:
    return torch.randn(3, B, H, T, D, generator=torch.Generator().manual_seed(0)).unbind()


@pytest.mark.parametrize("steps", [[7], [1] * 7, [3, 1, 1, 2], [1, 6]], ids=str)
def test_in_steps(steps: list[int]) -> None:
    q, k, v = random_qkv(2, 3, 7, 4)
    cache = LayerCache(8)

    parts = zip(*(x.split(steps, dim=2) for x in (q, k, v)), strict=True)
    outs = [cache.attend(*part, scale=0.5) for part in parts]

    assert cache.length == 7
    torch.testing.assert_close(torch.cat(outs, dim=2), matmul(q, k, v, scale=0.5))


def test_refuses_more_than_fits() -> None:
    cache = LayerCache(4)
    q, k, v = random_qkv(1, 1, 5, 2)

    with pytest.raises(ConfigError, match="at most 4 tokens but got 5"):
        cache.attend(q, k, v, scale=1.0)


def test_a_models_cache_counts_its_tokens() -> None:
    cache = KVCache(n_layer=2, block_size=4)
    q, k, v = random_qkv(1, 1, 3, 2)
    for layer in cache.layers:
        layer.attend(q, k, v, scale=1.0)

    assert cache.length == 3


@pytest.mark.parametrize("position", ["learned", "rotary"])
@pytest.mark.parametrize("attention", ["fused", "per_head"])
def test_a_place_that_the_device_knows_is_as_good(position: str, attention: str) -> None:
    """As a CUDA graph reads it: what was there before, and beyond, changes nothing."""
    torch.manual_seed(0)
    shape = ModelConfig(block_size=8, n_layer=2, n_head=2, n_embd=8, init="torch")
    model = GPT(replace(shape, position=position, attention=attention), 20).eval()
    text = torch.randint(20, (1, 8))
    expected = model(text)
    cache = model.new_cache()
    model(text.flip(1), cache=cache)
    cache.forget()

    found = [model(text[:, :3], cache=cache)]
    for i in range(3, 8):
        with cache.at(torch.tensor([i])):
            found.append(model(text[:, i : i + 1], cache=cache))
    assert torch.allclose(torch.cat(found, dim=1), expected, atol=1e-5)
