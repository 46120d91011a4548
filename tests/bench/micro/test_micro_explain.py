"""A training step and the parts that it is made of."""

from dataclasses import replace

import pytest
import torch
from rich.console import Console

from bench.micro import explain
from bench.micro.explain import Explanation, Line, explain_step, show
from bench.micro.parts import parts_of_step
from gpt.config import RunConfig
from gpt.presets import MODERN, NANOGPT, PRESETS


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
    for parameter in setup.model.parameters():
        parameter.grad = None

    for part in parts:
        forward, backward = part.forward_backward_seconds()
        assert forward > 0
        assert backward >= 0

    without = {n for n, p in setup.model.named_parameters() if p.grad is None}
    unused = {"final_norm.weight", "final_norm.bias"} if "shakespeare" in preset else set()
    assert without == unused


def test_parts_leave_the_weights_alone() -> None:
    setup = explain._setup_on_random_tokens(small(MODERN))
    before = [p.detach().clone() for p in setup.model.parameters()]

    for part in parts_of_step(setup, batches=1):
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
        "residual sums", "head and loss", "gradient clipping", "optimizer",
    ]  # fmt: skip
    assert explanation.rounds >= 3
    assert -0.5 < explanation.left_over < 0.5  # a machine at rest says 0.1
