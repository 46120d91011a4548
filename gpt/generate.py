"""What does the model write? Sampling from its next-token distribution."""

import torch
from torch import Tensor

from gpt.errors import ConfigError
from gpt.model import LanguageModel


@torch.no_grad()
def generate(
    model: LanguageModel,
    prompt: list[int],
    n_tokens: int,
    *,
    seed: int,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> list[int]:
    """The prompt's continuation: `n_tokens` sampled one after another.

    The same seed gives the same text on the same device.

    Args:
        temperature: divides the logits; 0 takes the likeliest token each time.
        top_k: sample among the k likeliest tokens only.

    Raises:
        ConfigError: on an empty prompt, a negative temperature or a top_k below 1.
    """
    if not prompt:
        raise ConfigError("a prompt must hold at least one token but got none")
    if not temperature >= 0:
        raise ConfigError(f"temperature must be at least 0 but got {temperature}")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k must be at least 1 but got {top_k}")
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    was_training = model.training
    model.eval()
    tokens = list(prompt)
    for _ in range(n_tokens):
        context = torch.tensor([tokens[-model.block_size :]], device=device)  # (1, T)
        logits = model(context)[0, -1].float()  # (V,)
        tokens.append(_sample(logits, temperature, top_k, generator))
    model.train(was_training)
    return tokens[len(prompt) :]


def _sample(
    logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator
) -> int:
    if temperature == 0:
        return int(logits.argmax())
    k = len(logits) if top_k is None else min(top_k, len(logits))
    logits, tokens = logits.topk(k)  # (k,) exactly, however many are tied
    weights = ((logits - logits[0]) / temperature).softmax(dim=-1)  # no overflow near 0
    return int(tokens[torch.multinomial(weights, 1, generator=generator)])
