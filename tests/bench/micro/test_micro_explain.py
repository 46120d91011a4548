"""A training step and the parts that it is made of."""

from dataclasses import replace

import pytest
import torch
from rich.console import Console
from torch import nn

from bench.micro import explain
from bench.micro.explain import Explanation, Line, explain_step, show
from bench.micro.parts import parts_of_step
from gpt.config import RunConfig
from gpt.presets import MODERN, NANOGPT, PRESETS
from gpt.train import train
from gpt.update import Update


def small(config: RunConfig) -> RunConfig:
    model = replace(config.model, n_layer=2, n_head=2, n_embd=16, block_size=8)
    return config.replace(model=model, train=replace(config.train, batch_size=2, device="cpu"))


@pytest.fixture(autouse=True)
def few_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "N_TOKENS", 10_000)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_parts_of_every_preset_reach_every_weight(preset: str) -> None:
    """What no part differentiates would be missing from the sum."""
    setup = explain._setup_on_random_tokens(small(PRESETS[preset]))
    parts = parts_of_step(setup, batches=3)
    model = setup.precision.model
    for parameter in model.parameters():
        parameter.grad = None

    reached: set[str] = set()
    for part in parts:
        forward, backward = part.forward_backward_seconds()
        assert forward > 0
        assert backward >= 0
        if part.name not in ("gradients to float32", "clipping and optimizer"):
            reached |= {n for n, p in model.named_parameters() if p.grad is not None}

    without = {n for n, _ in model.named_parameters()} - reached
    unused = {"final_norm.weight", "final_norm.bias"} if "shakespeare" in preset else set()
    assert without == unused


DTYPES = pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])


@DTYPES
def test_the_parts_are_those_of_the_step_that_trains(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same modules on inputs of the same dtypes, under the same autocast, and its update."""
    config = small(MODERN).override({"dtype": dtype, "kernel": "matmul", "cuda_graph": "off"})
    setup = explain._setup_on_random_tokens(config)
    seen: set[tuple[object, ...]] = set()

    def watch(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        weights = {parameter.dtype for parameter in module.parameters()}
        autocast = torch.is_autocast_enabled("cpu")
        seen.add((module, inputs[0].dtype, frozenset(weights), autocast))

    for _, model in {id(m): m for m in (setup.model, setup.precision.model)}.items():
        for block in model.blocks:
            for module in (block.attention, block.attention_norm, block.mlp, block.mlp_norm):
                module.register_forward_pre_hook(watch)
    updates: list[object] = []
    update = Update.step
    monkeypatch.setattr(
        Update, "step", lambda self, rate: updates.append(self) or update(self, rate)
    )

    next(train(setup))
    of_the_step, updated = set(seen), len(updates)
    parts = parts_of_step(setup, batches=1)
    seen.clear()
    for part in parts:
        part.forward_backward_seconds()

    assert seen == of_the_step
    assert len(updates) == updated + 1


@DTYPES
def test_parts_leave_the_weights_alone(dtype: str) -> None:
    config = small(MODERN).override({"dtype": dtype, "kernel": "matmul"})
    setup = explain._setup_on_random_tokens(config)
    before = [p.detach().clone() for p in setup.model.parameters()]

    parts = parts_of_step(setup, batches=1)
    for part in [*parts, *parts[::-1], *parts]:
        part.forward_backward_seconds()

    pairs = zip(before, setup.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_head_and_the_embedding_are_the_models_own() -> None:
    """Put together again, the parts before and after the blocks give the model's own loss."""
    setup = explain._setup_on_random_tokens(small(NANOGPT))
    parts = {part.name: part for part in parts_of_step(setup, batches=1)}
    (embedded,) = parts["embedding"].forward()
    (loss,) = parts["head and loss"].forward()

    assert embedded.shape == (2, 8, 16)
    assert loss.item() == pytest.approx(setup.model.expected_initial_loss, rel=0.05)


def test_a_part_of_a_part_counts_once() -> None:
    lines = [
        Line(part="attention", forward_milliseconds=2, backward_milliseconds=4, within=None),
        Line(part="kernel", forward_milliseconds=1, backward_milliseconds=2, within="attention"),
        Line(part="MLP", forward_milliseconds=1, backward_milliseconds=2, within=None),
    ]
    explanation = Explanation(
        lines=lines, step_milliseconds=10, spread=0.1, rounds=5, where="here"
    )

    assert explanation.sum_milliseconds == 9
    assert explanation.left_over == pytest.approx(0.1)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(show(explanation, "nanogpt"))
    rows = [line.split() for line in captured.get().splitlines()]
    assert ["left", "over", "1.00", "10.0%"] in rows
    assert ["a", "step", "of", "training", "10.00", "100.0%"] in rows


def test_a_step_is_measured_beside_its_parts() -> None:
    explanation = explain_step(NANOGPT.override({"device": "cpu", "n_layer": "2"}), seconds=1)

    names = [line.part for line in explanation.lines]
    assert names == [
        "data", "embedding", "norms", "attention", "of which the kernel, sdpa", "MLP",
        "residual sums", "head and loss", "clipping and optimizer",
    ]  # fmt: skip
    assert explanation.rounds >= 3
    assert -0.5 < explanation.left_over < 0.5  # a machine at rest says 0.1
