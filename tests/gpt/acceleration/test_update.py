"""A step of the weights: clipped, moved, followed by their copy, and nothing left behind."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gpt.acceleration.precision import Precision
from gpt.acceleration.step import Step, Update
from gpt.config import ModelConfig, OptimizerConfig
from gpt.model.gpt import GPT
from gpt.training.optim import build_optimizers, set_learning_rate
from gpt.training.setup import Setup

ADAMW = OptimizerConfig(weight_decay=0.3, beta1=0.8, beta2=0.95)
MUON = replace(ADAMW, kind="muon", adamw_multiplier=3.0)
SHAPE = ModelConfig(block_size=8, n_layer=2, n_head=2, n_embd=20, bias=True, tied_head=True)


def fresh(dtype: str = "bfloat16") -> tuple[GPT, Precision]:
    torch.manual_seed(0)
    model = GPT(SHAPE, 37)
    return model, Precision(model, dtype, torch.device("cpu"))  # type: ignore[arg-type]


def give_gradients(precision: Precision, size: float) -> list[Tensor]:
    """Gradients that a bfloat16 can hold, to the model that computes."""
    generator = torch.Generator().manual_seed(1)
    gradients = []
    for parameter in precision.model.parameters():
        gradient = (size * torch.randn(parameter.shape, generator=generator)).bfloat16()
        parameter.grad = gradient.to(parameter.dtype)
        gradients.append(gradient.float())
    return gradients


def flat(model: GPT) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("config", [ADAMW, MUON], ids=["adamw", "muon"])
@pytest.mark.parametrize(("size", "grad_clip"), [(0.001, 1.0), (0.5, 1.0), (0.5, 0.0)])
def test_in_bfloat16_it_moves_as_the_optimizers_do_on_the_clipped_gradients(
    size: float, grad_clip: float, config: OptimizerConfig
) -> None:
    config = replace(config, grad_clip=grad_clip)
    model, precision = fresh()
    update = Update(model, precision, config)
    gradients = give_gradients(precision, size)
    precision.collect_gradients()
    norm = update.step(0.01)

    expected, _ = fresh()
    size = float(torch.cat([gradient.flatten() for gradient in gradients]).norm())
    clip = min(1.0, grad_clip / size) if grad_clip else 1.0
    for parameter, gradient in zip(expected.parameters(), gradients, strict=True):
        parameter.grad = gradient * clip
    optimizers = build_optimizers(expected, config, dtype=precision.dtype)
    set_learning_rate(optimizers, 0.01)
    for optimizer in optimizers:
        optimizer.step()

    assert float(norm) == pytest.approx(size, rel=1e-5)
    start, _ = fresh()
    tolerance = 1e-4 if config.kind == "adamw" else 0.02  # Muon rounds what was clipped
    distance = (flat(model) - flat(expected)).norm() / (flat(expected) - flat(start)).norm()
    assert distance < tolerance


@pytest.mark.parametrize("config", [ADAMW, MUON], ids=["adamw", "muon"])
def test_the_copy_follows_and_gradients_are_forgotten(config: OptimizerConfig) -> None:
    model, precision = fresh()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    update = Update(model, precision, config)
    give_gradients(precision, 0.01)
    precision.collect_gradients()
    update.step(0.01)

    pairs = zip(model.parameters(), precision.model.parameters(), before, strict=True)
    for weight, copy, old in pairs:
        assert torch.equal(copy, weight.bfloat16())
        assert not torch.equal(weight, old)
        assert weight.grad is copy.grad is None


def test_what_is_not_a_number_stays_none() -> None:
    model, precision = fresh()
    update = Update(model, precision, ADAMW)
    give_gradients(precision, 0.01)
    next(precision.model.parameters()).grad.fill_(torch.nan)
    precision.collect_gradients()

    assert update.step(0.01).isnan()
    assert all(parameter.isnan().all() for parameter in model.parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_step_is_a_backward_pass_and_an_update(dtype: str, settle: Callable[..., Setup]) -> None:
    x = torch.arange(4 * 16).reshape(4, 16) % 60
    setups = [settle(dtype=dtype, micro_batch_size=size) for size in (None, 1)]
    results = [Step(setup)(x, x, 0.01) for setup in setups]

    (loss, norm), (other_loss, other_norm) = results
    assert float(loss) == pytest.approx(math.log(setups[0].model.vocab_size), rel=0.2)
    assert float(other_loss) == pytest.approx(float(loss), rel=1e-2)
    assert float(other_norm) == pytest.approx(float(norm), rel=1e-2)
