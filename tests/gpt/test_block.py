"""Blocks as one kernel: they compute what their layers do, and only where they can."""

from dataclasses import replace

import pytest
import torch
from native_kernels import needs_kernels, random
from torch import Tensor

from gpt.attention.cache import KVCache
from gpt.block import Blocks
from gpt.config import ModelConfig
from gpt.layers import LayerNorm, Linear, RMSNorm
from gpt.presets import MODERN, NANOGPT

pytestmark = needs_kernels

SHAPE = {
    "n_layer": 3,
    "n_head": 2,
    "n_embd": 64,
    "block_size": 50,
    "kernel": "native",
    "init": "torch",
}
CONFIGS = {
    "nanogpt": replace(NANOGPT.model, **SHAPE),
    "modern": replace(MODERN.model, **SHAPE),
    "rotary alone": replace(NANOGPT.model, **SHAPE, position="rotary", activation="relu"),
    "QK-norm alone": replace(NANOGPT.model, **SHAPE, qk_norm=True),
}


def blocks_of(config: ModelConfig, *, int8: bool = False) -> Blocks:
    torch.manual_seed(0)
    blocks = Blocks(config).bfloat16()
    for module in blocks.modules():
        if isinstance(module, Linear):
            module.int8 = int8
        elif isinstance(module, LayerNorm | RMSNorm):
            torch.nn.init.normal_(module.weight, 1.0, 0.1)
    return blocks


def outputs(blocks: Blocks, x: Tensor) -> list[Tensor]:
    """What they give, and the gradients of their input and weights."""
    x = x.clone().requires_grad_()
    blocks.zero_grad()
    out = blocks(x)
    out.backward(random(*x.shape, seed=1))
    return [out.detach(), x.grad, *(p.grad.clone() for p in blocks.parameters())]


def by_layers(blocks: Blocks, x: Tensor) -> list[Tensor]:
    blocks.has_kernel = False
    return outputs(blocks, x)


@pytest.mark.parametrize("T", [1, 33, 50])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_they_compute_what_their_layers_do(config: ModelConfig, T: int) -> None:
    """Their products may be rounded in another order."""
    blocks, x = blocks_of(config), random(3, T, 64)
    assert blocks.has_kernel

    for one, other in zip(outputs(blocks, x), by_layers(blocks, x), strict=True):
        assert (one.float() - other.float()).norm() <= 0.01 * other.float().norm()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_in_int8_to_the_bit(config: ModelConfig) -> None:
    blocks, x = blocks_of(config, int8=True), random(3, 50, 64)
    found, expected = outputs(blocks, x), by_layers(blocks, x)

    assert all(map(torch.equal, found, expected))
    rounded = outputs(blocks_of(config), x)
    assert not torch.equal(found[0], rounded[0])


def test_a_part_of_a_batch_that_is_no_copy_is_taken() -> None:
    blocks, x = blocks_of(CONFIGS["modern"], int8=True), random(4, 50, 64)
    assert torch.equal(blocks(x[::2]), blocks(x)[::2])


@pytest.mark.parametrize(
    "change",
    [
        {"bias": True},
        {"qkv_bias": True},
        {"dropout": 0.1},
        {"attention": "per_head"},
        {"kernel": "sdpa"},
        {"n_embd": 48},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_they_leave_out_is_left_to_the_layers(change: dict[str, object]) -> None:
    assert not Blocks(replace(CONFIGS["nanogpt"], **change)).has_kernel


def test_they_train_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an evaluation, and with a memory of keys, the layers compute."""

    def fail(*_: object) -> Tensor:
        raise AssertionError

    monkeypatch.setattr("gpt.block.native_blocks", fail)
    blocks = blocks_of(CONFIGS["nanogpt"])
    with pytest.raises(AssertionError):
        blocks(random(1, 8, 64))
    blocks.eval()(random(1, 8, 64))
    blocks.train()(random(1, 8, 64), KVCache(n_layer=3, block_size=50))
