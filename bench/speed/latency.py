"""What a person waits for: text that a model writes, and the help of a command."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import torch

from bench.speed.rows import Row, TimingRace
from bench.speed.shapes import Shape
from bench.timing.interleave import interleave
from gpt.config import Device
from gpt.device import resolve_device, synchronize
from gpt.generate import generate
from gpt.model.gpt import LanguageModel, build_model
from gpt.presets import NANOGPT


def generation_row(shape: Shape, *, n_tokens: int, device: Device, rounds: int) -> Row:
    """Generate a text longer than the block, with and without a cache of keys and values.

    Both ways see the same context at each token: a full block restarts with its later half.
    """
    where = resolve_device(device)
    captured = where.type == "cuda"
    config = replace(
        NANOGPT.model,
        n_layer=shape.n_layer,
        n_head=shape.n_head,
        n_embd=shape.n_embd,
        block_size=shape.T,
    )
    fused, per_head = (
        build_model(replace(config, attention=layout), shape.V).to(where).eval()
        for layout in ("fused", "per_head")
    )
    keep = max(1, shape.T // 2)
    ways: dict[str, Callable[[], object]] = {
        "ours": lambda: generate(fused, [0], n_tokens, seed=0, keep=keep, cuda_graph=captured),
        "original": lambda: recompute(per_head, n_tokens, keep=keep),
    }
    seconds = interleave(ways, rounds=rounds, synchronize=lambda: synchronize(where))
    return Row(
        name=f"generation, {n_tokens} tokens at T {shape.T}",
        ours="keys and values remembered" + (", CUDA graph" if captured else ""),
        baseline="everything recomputed",
        **TimingRace(seconds).compared("ours", "original"),
        target=10.0,
    )


@torch.no_grad()
def recompute(model: LanguageModel, n_tokens: int, *, keep: int) -> torch.Tensor:
    """The originals' `generate`: each token passes the whole context through the whole model.

    Args:
        keep: tokens of context with which a full block restarts, as in `gpt.generate`.
    """
    text = torch.zeros(1, 1, dtype=torch.long, device=next(model.parameters()).device)
    start = 0
    for _ in range(n_tokens):
        if text.shape[1] - start > model.block_size:
            start = text.shape[1] - keep
        logits = model(text[:, start:])[:, -1]  # (1, V)
        token = torch.multinomial(logits.softmax(-1), 1)  # (1, 1)
        text = torch.cat((text, token), dim=1)
    return text


def help_row(*, rounds: int) -> Row:
    """`python -m bench.study --help` against importing torch, which it must avoid."""
    ways = {
        "help": lambda: _python("-m", "bench.study", "--help"),
        "torch": lambda: _python("-c", "import torch"),
    }
    seconds = interleave(ways, rounds=rounds)
    return Row(
        name="seconds to help",
        ours="bench.study --help",
        baseline="import torch",
        **TimingRace(seconds).compared("help", "torch"),
        target=0.5,
        at_most=True,
    )


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
