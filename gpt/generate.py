"""What does the model write? Sampling from its next-token distribution."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor
from torch.backends import mkldnn

from gpt.errors import ConfigError
from gpt.model import LanguageModel


@torch.inference_mode()
def generate(
    model: LanguageModel,
    prompt: list[int],
    n_tokens: int,
    *,
    seed: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    keep: int | None = None,
) -> list[int]:
    """The prompt's continuation: `n_tokens` sampled one after another.

    The same seed gives the same text on the same device. Keys and values are remembered until the
    block is full; then the window slides, and the positions of all its tokens change with it.

    Args:
        temperature: divides the logits; 0 takes the likeliest token each time.
        top_k: sample among the k likeliest tokens only.
        keep: tokens of context that a full block starts anew with. None: as many as fit, so each
            further token costs a pass over the whole block, as it did in the originals; half of
            the block is far faster and forgets earlier.

    Raises:
        ConfigError: on an empty prompt, a negative temperature, a top_k below 1, or a keep that is
            not within the block.
    """
    if not prompt:
        raise ConfigError("a prompt must hold at least one token but got none")
    if not temperature >= 0:
        raise ConfigError(f"temperature must be at least 0 but got {temperature}")
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k must be at least 1 but got {top_k}")
    if keep is not None and not 1 <= keep <= model.block_size:
        raise ConfigError(f"keep must be in [1, {model.block_size}] but got {keep}")
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    was_training = model.training
    model.eval()
    tokens = list(prompt)
    unseen = tokens[-model.block_size :]
    cache = model.new_cache()
    with _without_onednn() if _is_in_float32(model) else nullcontext():
        for _ in range(n_tokens):
            if cache.length + len(unseen) > model.block_size:
                unseen = tokens[-(keep or model.block_size) :]
                cache = model.new_cache()
            context = torch.tensor([unseen], device=device)  # (1, T)
            logits = model(context, cache=cache)[0, -1].float()  # (V,)
            unseen = [_sample(logits, temperature, top_k, generator)]
            tokens += unseen
    model.train(was_training)
    return tokens[len(prompt) :]


def _is_in_float32(model: LanguageModel) -> bool:
    return all(parameter.dtype is torch.float32 for parameter in model.parameters())


@contextmanager
def _without_onednn() -> Iterator[None]:
    """torch's own kernels on a CPU: what oneDNN prepares for a call takes a tenth of a token."""
    before = mkldnn.enabled
    mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        mkldnn.enabled = before


def _sample(
    logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator
) -> int:
    """A token by the Gumbel-max trick: the largest of scores, each less the log of a waiting time,
    is as likely to be a token as the softmax says (https://arxiv.org/abs/2110.01515)."""
    if temperature == 0:
        return int(logits.argmax())
    if top_k is not None and top_k < len(logits):
        logits, tokens = logits.topk(top_k)  # (k,) exactly, however many are tied
        return int(tokens[_sample(logits, temperature, None, generator)])
    scores = (logits - logits.amax()) / temperature  # no overflow near 0
    noise = torch.empty_like(scores).exponential_(generator=generator).log_()
    return int((scores - noise).argmax())
