"""What each optimizer holds, and the learning rate against nanoGPT's rule."""

import math
from itertools import chain

import pytest
import torch

from gpt.config import ModelConfig, OptimizerConfig
from gpt.model.gpt import GPT, Bigram
from gpt.training.muon import Muon
from gpt.training.optim import build_optimizers, set_learning_rate
from gpt.training.schedule import learning_rate_at

NANOGPT = OptimizerConfig(
    learning_rate=1e-3, schedule="cosine", warmup_fraction=100 / 2000, final_fraction=0.1
)


@pytest.fixture
def gpt() -> GPT:
    return GPT(ModelConfig(block_size=8, n_layer=2, n_head=2, n_embd=8, bias=True), 20)


def names(model: torch.nn.Module, group: dict) -> set[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)] for parameter in group["params"]}


def nanogpt_rate(it: int) -> float:
    """`get_lr` of nanoGPT's train.py, with its recipe for a CPU."""
    learning_rate, min_lr, warmup_iters, lr_decay_iters = 1e-3, 1e-4, 100, 2000
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    decay_ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
    coefficient = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
    return min_lr + coefficient * (learning_rate - min_lr)


def test_it_is_nanogpts_schedule_step_for_step() -> None:
    for it in range(2001):
        assert learning_rate_at(NANOGPT, it / 2000) == pytest.approx(nanogpt_rate(it), rel=1e-12)


@pytest.mark.parametrize(
    ("schedule", "at_half", "at_end"),
    [("constant", 1.0, 1.0), ("linear", 0.6, 0.2), ("cosine", 0.6, 0.2)],
)
def test_schedules_by_hand(schedule: str, at_half: float, at_end: float) -> None:
    """Without warm-up: half way, linear and cosine are half way from 1 to 0.2."""
    config = OptimizerConfig(
        learning_rate=1.0,
        schedule=schedule,
        warmup_fraction=0.0,
        final_fraction=0.2,
    )
    rates = [learning_rate_at(config, progress) for progress in (0.0, 0.5, 1.0)]

    assert rates == pytest.approx([1.0, at_half, at_end])


def test_a_constant_rate_has_its_warm_up_too() -> None:
    config = OptimizerConfig(learning_rate=1.01, schedule="constant", warmup_fraction=0.5)

    assert learning_rate_at(config, 0.0) == pytest.approx(0.01)
    assert learning_rate_at(config, 0.25) == pytest.approx(0.51)
    assert learning_rate_at(config, 0.5) == learning_rate_at(config, 1.0) == 1.01


def test_adamw_decays_matrices_alone(gpt: GPT) -> None:
    (optimizer,) = build_optimizers(gpt, OptimizerConfig(weight_decay=0.3, beta1=0.8, beta2=0.95))
    decayed, spared = optimizer.param_groups

    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
    assert decayed["betas"] == spared["betas"] == (0.8, 0.95)
    assert {p.ndim for p in decayed["params"]} == {2}
    assert {p.ndim for p in spared["params"]} == {1}
    assert "token_embedding.weight" in names(gpt, decayed)


def test_adamw_decays_all_where_told(gpt: GPT) -> None:
    (optimizer,) = build_optimizers(gpt, OptimizerConfig(decay_all=True))
    (group,) = optimizer.param_groups

    assert names(gpt, group) == {name for name, _ in gpt.named_parameters()}


def test_muon_takes_the_matrices_of_the_blocks(gpt: GPT) -> None:
    muon, adamw = build_optimizers(gpt, OptimizerConfig(kind="muon", weight_decay=0.3))
    hidden = names(gpt, muon.param_groups[0])

    assert isinstance(muon, Muon)
    assert muon.param_groups[0]["weight_decay"] == 0.3
    assert hidden == {
        n for n, p in gpt.named_parameters() if n.startswith("blocks") and p.ndim > 1
    }
    assert {"head.weight", "token_embedding.weight"} <= names(gpt, adamw.param_groups[0])


@pytest.mark.parametrize("config", [OptimizerConfig(), OptimizerConfig(kind="muon")])
@pytest.mark.parametrize("tied_head", [True, False])
def test_every_parameter_is_held_once(config: OptimizerConfig, tied_head: bool) -> None:
    shape = ModelConfig(block_size=8, n_layer=2, n_head=2, n_embd=8, tied_head=tied_head)
    for model in (GPT(shape, 20), Bigram(shape, 20)):
        groups = chain.from_iterable(o.param_groups for o in build_optimizers(model, config))
        held = [id(p) for group in groups for p in group["params"]]

        assert sorted(held) == sorted(id(p) for p in model.parameters())


def test_each_group_gets_the_rate_times_its_multiplier(gpt: GPT) -> None:
    optimizers = build_optimizers(gpt, OptimizerConfig(kind="muon", adamw_multiplier=0.25))

    set_learning_rate(optimizers, 0.4)

    assert [o.param_groups[0]["lr"] for o in optimizers] == [0.4, 0.1]


def test_one_step_of_adamw_by_hand() -> None:
    """The first update is lr · sign(gradient), after the weight has shrunk by lr · decay."""
    layer = torch.nn.Linear(1, 1)
    layer.weight.data.fill_(2.0)
    layer.bias.data.fill_(2.0)
    (optimizer,) = build_optimizers(layer, OptimizerConfig(learning_rate=0.1, weight_decay=0.5))

    (3.0 * layer.weight.sum() - 7.0 * layer.bias.sum()).backward()
    optimizer.step()

    assert layer.weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5) - 0.1)
    assert layer.bias.item() == pytest.approx(2.0 + 0.1)
