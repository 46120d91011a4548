"""The operations of a step, against torch's own counter of what a step really multiplies."""

from collections.abc import Callable

import pytest
from torch.utils.flop_counter import FlopCounterMode

from gpt.training.flops import flops_per_step, optimizer_flops
from gpt.training.optim import build_optimizers
from gpt.training.setup import Setup


def counted(setup: Setup) -> int:
    """What one step multiplies: forward, backward and the optimizers."""
    train, model = setup.config.train, setup.model
    block = setup.config.model.block_size
    optimizers = build_optimizers(model, setup.config.optimizer)
    tokens = setup.text.encoded.train[: train.batch_size * block]
    x = setup.model.head.weight.new_tensor(tokens.astype("int64")).long()
    x = x.view(train.batch_size, block)  # (B, T)
    with FlopCounterMode(display=False) as counter:
        model(x, x).backward()
        for optimizer in optimizers:
            optimizer.step()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "optimizer",
    [{"optimizer": "adamw"}, {"optimizer": "muon"}, {"optimizer": "muon", "muon_iterations": 5}],
    ids=["adamw", "muon", "muon5"],
)
@pytest.mark.parametrize("attention", ["fused", "per_head"])
def test_rule_04_a_step_counts_what_torch_counts(
    optimizer: dict[str, object], attention: str, settle: Callable[..., Setup]
) -> None:
    kernel = {"kernel": "matmul"} if attention == "fused" else {}
    setup = settle(attention=attention, **kernel, **optimizer)

    assert flops_per_step(setup.model, setup.config) == counted(setup)


def test_a_shorter_context_leaves_the_optimizer_as_it_is(settle: Callable[..., Setup]) -> None:
    setup = settle(optimizer="muon")
    whole = flops_per_step(setup.model, setup.config)
    half = flops_per_step(setup.model, setup.config, context=8)

    n_layer, C, B, T = 1, 16, 4, 16
    assert whole - half == B * T * 12 * n_layer * C * 8


def test_an_optimizer_multiplies_the_same_however_large_the_batch(
    settle: Callable[..., Setup],
) -> None:
    few, many = (settle(optimizer="muon", batch_size=size) for size in (1, 8))
    of_muon = optimizer_flops(few.model, few.config.optimizer)

    assert of_muon == optimizer_flops(many.model, many.config.optimizer) > 0
    assert 8 * (flops_per_step(few.model, few.config) - of_muon) == (
        flops_per_step(many.model, many.config) - of_muon
    )


def test_a_bigram_multiplies_nothing_whoever_moves_it(settle: Callable[..., Setup]) -> None:
    setup = settle(model="bigram", optimizer="muon")

    assert flops_per_step(setup.model, setup.config) == 0
