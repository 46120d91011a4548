"""A block as one kernel: it computes what its layers do, and only where it can."""

from dataclasses import replace

import pytest
import torch
from native_kernels import needs_kernels, random
from torch import Tensor

from gpt.attention.cache import KVCache
from gpt.block import Block
from gpt.config import ModelConfig
from gpt.layers import Linear
from gpt.presets import MODERN, NANOGPT

pytestmark = needs_kernels

SHAPE = {"n_head": 2, "n_embd": 64, "block_size": 50, "kernel": "native", "init": "torch"}
CONFIGS = {
    "nanogpt": replace(NANOGPT.model, **SHAPE),
    "modern": replace(MODERN.model, **SHAPE),
    "rotary alone": replace(NANOGPT.model, **SHAPE, position="rotary", activation="relu"),
    "QK-norm alone": replace(NANOGPT.model, **SHAPE, qk_norm=True),
}


def block_of(config: ModelConfig, *, int8: bool = False) -> Block:
    torch.manual_seed(0)
    block = Block(config).bfloat16()
    for module in block.modules():
        if isinstance(module, Linear):
            module.int8 = int8
    for norm in (block.attention_norm, block.mlp_norm):
        torch.nn.init.normal_(norm.weight, 1.0, 0.1)
    return block


def outputs(block: Block, x: Tensor) -> list[Tensor]:
    """What it gives, and the gradients of its input and weights."""
    x = x.clone().requires_grad_()
    block.zero_grad()
    out = block(x)
    out.backward(random(*x.shape, seed=1))
    return [out.detach(), x.grad, *(p.grad.clone() for p in block.parameters())]


def by_layers(block: Block, x: Tensor) -> list[Tensor]:
    block.has_kernel = False
    return outputs(block, x)


@pytest.mark.parametrize("T", [1, 33, 50])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_it_computes_what_its_layers_do(config: ModelConfig, T: int) -> None:
    """Their products may be rounded in another order."""
    block, x = block_of(config), random(3, T, 64)
    assert block.has_kernel

    for one, other in zip(outputs(block, x), by_layers(block, x), strict=True):
        assert (one.float() - other.float()).norm() <= 0.01 * other.float().norm()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_in_int8_to_the_bit(config: ModelConfig) -> None:
    block, x = block_of(config, int8=True), random(3, 50, 64)
    found, expected = outputs(block, x), by_layers(block, x)

    assert all(map(torch.equal, found, expected))
    rounded = outputs(block_of(config), x)
    assert not torch.equal(found[0], rounded[0])


def test_a_part_of_a_batch_that_is_no_copy_is_taken() -> None:
    block, x = block_of(CONFIGS["modern"], int8=True), random(4, 50, 64)
    assert torch.equal(block(x[::2]), block(x)[::2])


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
def test_what_it_leaves_out_is_left_to_the_layers(change: dict[str, object]) -> None:
    assert not Block(replace(CONFIGS["nanogpt"], **change)).has_kernel


def test_it_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an evaluation, and with a memory of keys, the layers compute."""

    def fail(*_: object) -> Tensor:
        raise AssertionError

    monkeypatch.setattr("gpt.block.native_block", fail)
    block = block_of(CONFIGS["nanogpt"])
    with pytest.raises(AssertionError):
        block(random(1, 8, 64))
    block.eval()(random(1, 8, 64))
    block.train()(random(1, 8, 64), KVCache(n_layer=1, block_size=50).layers[0])
