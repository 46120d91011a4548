"""What does the model write? Sampling from its next-token distribution."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor
from torch.backends import mkldnn

from gpt.acceleration.cuda_graph import Captured
from gpt.errors import ConfigError
from gpt.model.gpt import LanguageModel


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
    cuda_graph: bool = False,
) -> list[int]:
    """The prompt's continuation: `n_tokens` sampled one after another.

    The same seed gives the same text on the same device. Keys and values are cached until the
    block is full; then the window moves on, and the positions of all its tokens change.

    Args:
        temperature: divides the logits; 0 takes the likeliest token each time.
        top_k: sample among the k likeliest tokens only.
        keep: tokens of context that the window begins with when the block is full. None: as many
            as fit, as in the originals, so that each further token costs a pass over the whole
            block. Fewer are faster, and the model sees less.
        cuda_graph: capture the pass for a single token, for a model on CUDA.

    Raises:
        InfeasibleError: the pass can't be captured.
        ConfigError: on a value that is out of its range, or an empty prompt.
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
    choose = partial(_sample, temperature=temperature, top_k=top_k, generator=generator)
    was_training = model.training
    model.eval()
    if cuda_graph:
        writer: _Writer = _CapturedWriter(model, choose, generator)
    else:
        writer = _Writer(model, choose)
    tokens = list(prompt)
    window = tokens[-model.block_size :]
    try:
        in_float32 = all(parameter.dtype is torch.float32 for parameter in model.parameters())
        with _without_onednn() if in_float32 else nullcontext():
            while (left := len(prompt) + n_tokens - len(tokens)) > 0:
                tokens += writer.write(window, min(left, model.block_size - len(window) + 1))
                window = tokens[-(keep or model.block_size) :]
    finally:
        model.train(was_training)
    return tokens[len(prompt) :]


class _Writer:
    """Continues a window of text up to the end of the block.

    Args:
        choose: logits (V,) -> a token ().
    """

    def __init__(self, model: LanguageModel, choose: Callable[[Tensor], Tensor]) -> None:
        self.model = model
        self.choose = choose
        self.cache = model.new_cache()
        self.device = next(model.parameters()).device

    def write(self, window: list[int], n: int) -> list[int]:
        """`n` further tokens, of which the model has read all but the last."""
        self.cache.forget()
        written: list[int] = []
        unseen = window
        for _ in range(n):
            context = torch.tensor([unseen], device=self.device)  # (1, T)
            unseen = [int(self.choose(self.next_logits(context)))]
            written += unseen
        return written

    def next_logits(self, context: Tensor) -> Tensor:
        """(1, T) tokens that the cache has not seen -> (V,)."""
        logits: Tensor = self.model(context, cache=self.cache)[0, -1].float()
        return logits


class _CapturedWriter(_Writer):
    """The same on CUDA: reading one token and choosing the next is captured as a graph."""

    def __init__(
        self,
        model: LanguageModel,
        choose: Callable[[Tensor], Tensor],
        generator: torch.Generator,
    ) -> None:
        super().__init__(model, choose)
        self.text = torch.zeros(model.block_size + 1, dtype=torch.long, device=self.device)
        self.position = torch.zeros(1, dtype=torch.long, device=self.device)
        self.write_next = Captured(self._write_next, generator)

    def write(self, window: list[int], n: int) -> list[int]:
        self.cache.forget()
        start = len(window)
        self.text[:start] = torch.tensor(window)
        self.position.fill_(start)
        token = self.choose(self.next_logits(self.text[None, :start]))
        self.text[start] = token
        for _ in range(n - 1):
            self.write_next()
        written: list[int] = self.text[start : start + n].tolist()
        return written

    def _write_next(self) -> None:
        """Read the token at the position, and write the next one after it."""
        with self.cache.at(self.position):
            logits = self.next_logits(self.text[self.position][None])
        self.position += 1
        self.text.index_copy_(0, self.position, self.choose(logits)[None])


@contextmanager
def _without_onednn() -> Iterator[None]:
    """On a CPU, use torch's own kernels: oneDNN's preparations take a tenth of a token's time."""
    before = mkldnn.enabled
    mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        mkldnn.enabled = before


def _sample(
    logits: Tensor, temperature: float, top_k: int | None, generator: torch.Generator
) -> Tensor:
    """A token () from the softmax of logits (V,), by the Gumbel-max trick: the largest of scores
    less the logs of exponential noise (https://arxiv.org/abs/2110.01515)."""
    if temperature == 0:
        return logits.argmax()
    if top_k is not None and top_k < len(logits):
        logits, tokens = logits.topk(top_k)  # (k,) exactly, however many are tied
        return tokens.gather(0, _sample(logits, temperature, None, generator)[None])[0]
    scores = (logits - logits.amax()) / temperature  # no overflow near 0
    noise = torch.empty_like(scores).exponential_(generator=generator).log_()
    return (scores - noise).argmax()
