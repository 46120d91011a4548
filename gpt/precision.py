"""In which precision does a model compute, and where do its weights live?

The weights live in float32, for small updates are lost in less: a bfloat16 keeps 8 bits, so what
is added must be a 256th of the weight to count at all (Micikevicius et al. 2018, section 3.1,
https://arxiv.org/abs/1710.03740).

- `float32` computes with them.
- `bfloat16` computes with a copy of the whole model, made anew after every step; its gradients are
  summed in float32. Autocast would cast each weight each time it is used, and keep what flows
  between the products in float32.
- `float16` is autocast, with a scaled loss: its range is too small for a copy.
"""

import copy
from contextlib import AbstractContextManager, nullcontext

import torch

from gpt.config import Dtype
from gpt.model import LanguageModel


class Precision:
    """A model to compute with, and the way from its gradients to the weights.

    Args:
        model: the weights that the optimizer moves.
        dtype: of the computation.
    """

    def __init__(self, model: LanguageModel, dtype: Dtype, device: torch.device) -> None:
        self._device = device
        self._autocast = dtype == "float16"
        copied = dtype == "bfloat16"
        self.model = copy.deepcopy(model).to(torch.bfloat16) if copied else model
        pairs = zip(model.parameters(), self.model.parameters(), strict=True)
        self._pairs = list(pairs) if copied else []

    def context(self) -> AbstractContextManager[object]:
        """Where the model's forward passes belong."""
        if not self._autocast:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=torch.float16)

    def collect_gradients(self) -> None:
        """Add the gradients of the last backward pass to those of the weights."""
        for weight, copied in self._pairs:
            if copied.grad is None:
                continue
            if weight.grad is None:
                weight.grad = copied.grad.float()
            else:
                weight.grad += copied.grad
            copied.grad = None

    @torch.no_grad()
    def refresh(self) -> None:
        """Follow the weights, which have moved."""
        for weight, copied in self._pairs:
            copied.copy_(weight)
