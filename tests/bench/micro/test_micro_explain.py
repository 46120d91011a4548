"""A training step and the parts that it is made of."""

import math
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.micro.step import explain
from bench.micro.step.explain import Explanation, Line, explain_step, show
from bench.micro.step.parts import parts_of_step
from gpt.acceleration.step import Update
from gpt.config import RunConfig
from gpt.presets import MODERN, NANOGPT, PRESETS
from gpt.training.clock import BUCKETS
from gpt.training.flops import flops_per_step
from gpt.training.loop import train
from gpt.training.setup import Setup


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


@pytest.mark.parametrize("preset", PRESETS)
def test_the_parts_multiply_what_the_step_multiplies(preset: str) -> None:
    """To the operation: none is left out, none is done twice, whatever the machine's load."""
    fused = PRESETS[preset].model.attention == "fused" and PRESETS[preset].model.kind == "gpt"
    config = small(PRESETS[preset]).override({"kernel": "matmul"} if fused else {})
    setup = explain._setup_on_random_tokens(config)
    parts = [part for part in parts_of_step(setup, batches=1) if part.within is None]

    with FlopCounterMode(display=False) as counter:
        for part in parts:
            part.forward_backward_seconds()

    assert counter.get_total_flops() == flops_per_step(setup.model, setup.config)


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
    assert loss.item() == pytest.approx(math.log(setup.model.vocab_size), rel=0.05)


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
    assert "interquartile range of the step 10% of its median" in " ".join(captured.get().split())
    assert ["left", "over", "1.00", "10.0%"] in rows
    assert ["a", "step", "of", "training", "10.00", "100.0%"] in rows


def test_what_counts_is_the_mean_over_the_quieter_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three rounds the second is loud, in its step and its parts; it also goes backwards."""
    taken: list[str] = []
    loudness = [1, 1, 10, 1]  # of the warm-up and the three rounds

    class Fake:
        within = None
        calls = 0

        def __init__(self, name: str, milliseconds: tuple[float, float]) -> None:
            self.name, self.milliseconds = name, milliseconds

        def forward_backward_seconds(self) -> tuple[float, float]:
            factor = loudness[self.calls // explain.STEPS] / 1000
            self.calls += 1
            taken.append(self.name)
            return self.milliseconds[0] * factor, self.milliseconds[1] * factor

    def steps(_: object) -> Iterator[float]:
        for milliseconds in (10.0, 99.0, 12.0):
            taken.append("step")
            yield milliseconds / 1000

    setup = SimpleNamespace(device=torch.device("cpu"))
    monkeypatch.setattr(explain, "_setup_on_random_tokens", lambda _: setup)
    monkeypatch.setattr(explain, "_steps", steps)
    monkeypatch.setattr(
        explain, "parts_of_step", lambda *_, **__: [Fake("a", (1, 2)), Fake("b", (3, 4))]
    )

    explanation = explain_step(NANOGPT, seconds=0)

    ab, ba = ["a", "b"] * explain.STEPS, ["b", "a"] * explain.STEPS
    assert taken == [*ab, "step", *ab, *ba, "step", "step", *ab]
    assert explanation.rounds == 3
    assert explanation.step_milliseconds == pytest.approx(11.0)
    assert [line.milliseconds for line in explanation.lines] == pytest.approx([3.0, 7.0])
    assert explanation.left_over == pytest.approx(1 / 11)
    assert explanation.spread == pytest.approx((99 - 10) / 12)


def test_a_step_of_the_loop_is_timed_with_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stretch of so many steps at a time; warm-up, evaluation and logging don't count."""
    stretches = [
        (1, 9.0),
        (explain.STEPS, 99.0),
        (2 * explain.STEPS, 2.0),
        (3 * explain.STEPS, 4.0),
    ]
    seconds = dict.fromkeys(BUCKETS, 0.0)

    def points(_: object) -> Iterator[SimpleNamespace]:
        for step, took in stretches:
            for bucket in BUCKETS:
                seconds[bucket] += took * (3 if bucket == "step" else 1)
            yield SimpleNamespace(step=step, seconds=dict(seconds))

    monkeypatch.setattr(explain, "train", points)

    timed = list(explain._steps(cast(Setup, None)))
    assert timed == pytest.approx([4 * 2.0 / explain.STEPS, 4 * 4.0 / explain.STEPS])


def test_a_step_is_measured_beside_its_parts() -> None:
    explanation = explain_step(NANOGPT.override({"device": "cpu", "n_layer": "2"}), seconds=0)

    names = [line.part for line in explanation.lines]
    assert names == [
        "data", "embedding", "norms", "attention", "of which the kernel, sdpa", "MLP",
        "residual sums", "head and loss", "clipping and optimizer",
    ]  # fmt: skip
    assert explanation.rounds == 3
    assert all(line.milliseconds > 0 for line in explanation.lines)
    assert explanation.step_milliseconds > 0
