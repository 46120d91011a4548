"""What is trained: three shapes, the recipes for them, and a text to train on.

The text consists of random characters, exactly V distinct ones: the speed of training depends on
the shape of the data, not on its meaning.
"""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from gpt.config import (
    Budget,
    CorpusConfig,
    Device,
    ModelConfig,
    RunConfig,
    TokenizerConfig,
    TrainConfig,
)
from gpt.presets import NANOGPT

FIRST_CHARACTER = 0x4E00
"""Unicode has 20,000 consecutive characters from here on."""

TEXT_CHARACTERS = 200_000


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A model, a batch, a vocabulary, how many steps are timed at once, and how often.

    Steps on a GPU take a millisecond or less, so a timing there has more of them. The timing of a
    small shape is short, so other load on the machine disturbs it more: it has `repeats` times as
    many rounds as are asked for.
    """

    name: str
    n_layer: int
    n_head: int
    n_embd: int
    T: int
    B: int
    V: int
    steps: int
    gpu_steps: int
    repeats: int = 1

    def on(self, device: torch.device) -> "Shape":
        """The same shape with the number of steps of a timing on this device."""
        return replace(self, steps=self.gpu_steps) if device.type == "cuda" else self

    def __str__(self) -> str:
        return self.name


A = Shape(
    name="A", n_layer=4, n_head=4, n_embd=128, T=64, B=12, V=65, steps=30, gpu_steps=100, repeats=3
)
B = replace(A, name="B", B=32, V=4000, steps=8, gpu_steps=80)
C = Shape(name="C", n_layer=6, n_head=6, n_embd=384, T=256, B=64, V=65, steps=1, gpu_steps=10)
TINY = Shape(name="tiny", n_layer=1, n_head=2, n_embd=32, T=16, B=4, V=65, steps=2, gpu_steps=2)


def write_text(shape: Shape, folder: Path) -> Path:
    """A file of random characters; every one of the V occurs, also in the training part."""
    alphabet = [chr(FIRST_CHARACTER + i) for i in range(shape.V)]
    drawn = random.Random(0).choices(alphabet, k=TEXT_CHARACTERS)
    path = folder / f"random-{shape.V}.txt"
    path.write_text("".join([*alphabet, *drawn]), encoding="utf-8")
    return path


def nanogpt_at(shape: Shape, text: Path, device: Device) -> RunConfig:
    """nanoGPT's recipe, run as nanoGPT does: float32, eager, scaled_dot_product_attention.

    On CUDA its optimizer is fused, there and there alone.
    """
    return NANOGPT.replace(
        corpus=CorpusConfig(name=str(text)),
        tokenizer=TokenizerConfig(kind="char", byte_fallback=False),
        model=replace(
            NANOGPT.model,
            n_layer=shape.n_layer,
            n_head=shape.n_head,
            n_embd=shape.n_embd,
            block_size=shape.T,
        ),
        optimizer=replace(NANOGPT.optimizer, fused=device == "cuda"),
        train=TrainConfig(
            budget=Budget(steps=1_000_000),
            batch_size=shape.B,
            device=device,
            log_interval=shape.steps,
            evaluations=1,
        ),
    )


def fastest(config: RunConfig) -> RunConfig:
    """The same model, batch and update, with the fastest options of the suite."""
    return config.replace(
        model=replace(config.model, kernel="auto", loss_head="chunked"),
        optimizer=replace(config.optimizer, fused=True),
        train=replace(config.train, dtype="auto", cuda_graph="auto"),
    )


def compiled(config: RunConfig) -> RunConfig:
    """The same run with its gradients compiled; compiling takes time that must be won back."""
    return config.replace(train=replace(config.train, compile=True))


def as_the_originals(config: RunConfig) -> RunConfig:
    """The same model with one module for each head, as the originals wrote it."""
    model: ModelConfig = replace(config.model, attention="per_head")
    return config.replace(model=model)
