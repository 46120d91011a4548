"""The canary, with kernels and models that are wrong on purpose."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import gpt.model.loss
from bench.run.canary import check_canary
from gpt.attention import KERNELS
from gpt.attention.cache import KVCache
from gpt.config import RunConfig
from gpt.errors import UnsoundError
from gpt.model.gpt import GPT
from gpt.presets import PRESETS
from gpt.training.setup import set_up


def leaky(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, scale=scale, dropout_p=dropout_p)


def unscaled(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    return F.scaled_dot_product_attention(
        q, k, v, scale=2 * scale, dropout_p=dropout_p, is_causal=True
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_every_preset_passes(preset: str, dtype: str, tiny: RunConfig) -> None:
    shape = {"n_layer": 1, "n_head": 2, "n_embd": 16, "block_size": 16}
    setup = set_up(
        tiny.replace(
            model=replace(PRESETS[preset].model, **shape), train=replace(tiny.train, dtype=dtype)
        )
    )
    before = [p.detach().clone() for p in setup.model.parameters()]
    state = torch.get_rng_state()
    check_canary(setup)
    assert all(map(torch.equal, before, setup.model.parameters()))
    assert all(p.grad is None for p in setup.model.parameters())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("wrong", [leaky, unscaled])
def test_rule_08_a_wrong_kernel_is_found(
    wrong: object, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = set_up(tiny)
    monkeypatch.setitem(KERNELS, "sdpa", replace(KERNELS["sdpa"], attend=wrong))
    with pytest.raises(UnsoundError, match="the kernel sdpa must be right but"):
        check_canary(setup)


@pytest.mark.parametrize("init", ["gpt2", "zero_projections"])
def test_rule_08_a_model_that_sees_the_future_is_found(
    init: str, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even one that starts with zero projections, and so does not use what it sees yet."""
    setup = set_up(tiny.replace(model=replace(tiny.model, init=init)))
    honest = GPT.trunk

    def peeking(self: GPT, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        x = honest(self, idx, cache)  # (B, T, C)
        return x + x.mean(dim=1, keepdim=True)

    monkeypatch.setattr(GPT, "trunk", peeking)
    with pytest.raises(UnsoundError, match="a changed token must change nothing before it"):
        check_canary(setup)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rule_08_a_fast_way_to_another_gradient_is_found(
    dtype: str, tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is right, and so is every number that is looked at otherwise."""
    right = gpt.model.loss._differentiated

    def wrong(*arguments: Tensor) -> tuple[Tensor, Tensor]:
        losses, grad = right(*arguments)
        return losses, 1.5 * grad

    setup = set_up(tiny.override({"loss_head": "chunked", "dtype": dtype}))
    check_canary(setup)
    monkeypatch.setattr(gpt.model.loss, "_differentiated", wrong)
    with pytest.raises(UnsoundError, match=f"a step in {dtype} must agree .* its gradient of"):
        check_canary(setup)


def test_rule_08_a_fast_way_to_another_loss_is_found(
    tiny: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = set_up(tiny.override({"dtype": "bfloat16"}))
    right = GPT.logits

    def wrong(self: GPT, idx: Tensor, cache: KVCache | None = None) -> Tensor:
        logits = right(self, idx, cache)
        return logits * 2 if logits.dtype == torch.bfloat16 else logits

    monkeypatch.setattr(GPT, "logits", wrong)
    with pytest.raises(UnsoundError, match="a step in bfloat16 must agree"):
        check_canary(setup)


def test_a_gradient_that_is_not_finite_is_found(tiny: RunConfig) -> None:
    setup = set_up(tiny)
    with torch.no_grad():
        next(setup.model.parameters()).fill_(float("nan"))
    with pytest.raises(UnsoundError, match="the first gradient must be finite"):
        check_canary(setup)
