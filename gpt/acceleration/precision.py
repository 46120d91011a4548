"""In which precision does a model compute, and where do its weights live?

The weights live in float32, because bfloat16 has 8 significant bits: it loses an update that is
smaller than a 256th of the weight (Micikevicius et al. 2018, section 3.1,
https://arxiv.org/abs/1710.03740).

- `float32` computes with the weights.
- `bfloat16` computes with a copy of the whole model, which is renewed after every step; gradients
  are summed in float32. Autocast would cast each weight at each use, and keep the activations
  between the products in float32.
- `float16` is autocast with a scaled loss, because its range is too small for a copy.
"""

import copy
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from gpt.acceleration.compiled import compile_gradients
from gpt.config import Dtype
from gpt.errors import UnsoundError
from gpt.model.gpt import LanguageModel
from gpt.rng import PrivateRandomState

COMPILED_TOLERANCE = {"float32": 1e-5, "bfloat16": 0.05, "float16": 0.05}
"""How far the compiled gradients may be from the uncompiled, relative to their norm. At most a
tenth of that was seen."""


def computing_context(dtype: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of forward passes in a precision, a settled `TrainConfig.dtype`: autocast for
    float16."""
    if dtype != "float16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.float16)


class Precision:
    """A model to compute with, and the way from its gradients to the weights.

    Args:
        model: the weights that the optimizer moves.
        dtype: of the computation.
        compiled: compute loss and gradients by a function of `gpt.acceleration.compiled`.
    """

    def __init__(
        self,
        model: LanguageModel,
        dtype: Dtype,
        device: torch.device,
        *,
        compiled: bool = False,
    ) -> None:
        self._device = device
        self._dtype = dtype
        copied = dtype == "bfloat16"
        self.model = copy.deepcopy(model).to(torch.bfloat16) if copied else model
        self._parameters = list(self.model.parameters())
        pairs = zip(model.parameters(), self._parameters, strict=True)
        self._pairs = list(pairs) if copied else []
        self._compiled = compile_gradients(self.model, self.context) if compiled else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == "float16")

    def context(self) -> AbstractContextManager[object]:
        """The context of the model's forward passes."""
        return computing_context(self._dtype, self._device)

    @property
    def dtype(self) -> torch.dtype:
        """Of the activations, and of q, k and v at their kernel."""
        dtype: torch.dtype = getattr(torch, self._dtype)
        return dtype

    def backward(self, x: Tensor, y: Tensor, share: float = 1.0) -> Tensor:
        """Add the gradients of `share` times a batch's loss to those of `model`.

        Returns that product, detached, for tokens and targets x and y (B, T). The scaler's factor
        is in the gradients only.
        """
        if self._compiled is None:
            with self.context():
                loss = self.model(x, y) * share
            self.scaler.scale(loss).backward()
            detached: Tensor = loss.detach()
            return detached
        factor = self.scaler.scale(torch.full((), share, device=x.device))
        loss, gradients = self._compiled(x, y, factor)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return loss * share

    def rehearse(self, x: Tensor, y: Tensor) -> None:
        """Compile, if that is asked, for batches of this shape (B, T), and compare the gradients
        with the uncompiled; weights and gradients stay as they were.

        Raises:
            InfeasibleError: it can't be compiled here.
            UnsoundError: the gradients differ by more than rounding.
        """
        if self._compiled is None:
            return
        with PrivateRandomState(self._device, seed=0):
            _, gradients = self._compiled(x, y, torch.ones((), device=x.device))
        with PrivateRandomState(self._device, seed=0), self.context():
            expected = torch.autograd.grad(
                self.model(x, y), self._parameters, materialize_grads=True
            )
        tolerance = COMPILED_TOLERANCE[self._dtype]
        pairs = zip(gradients, expected, strict=True)
        distance = float(get_total_norm([a.float() - b.float() for a, b in pairs]))
        size = float(get_total_norm([b.float() for b in expected]))
        if not distance <= tolerance * size:
            raise UnsoundError(
                f"compiled gradients must be within {tolerance:.2g} of the uncompiled but "
                f"differ by {distance / size:.2g}"
            )

    def collect_gradients(self) -> None:
        """Add the gradients of `model`, where it is a copy, to those of the weights."""
        fresh, gradients = [], []
        for weight, copied in self._pairs:
            if copied.grad is None:
                continue
            if weight.grad is None:
                weight.grad = torch.empty_like(weight)
                fresh.append(weight.grad)
                gradients.append(copied.grad)
            else:
                weight.grad += copied.grad
            copied.grad = None
        if fresh:
            torch._foreach_copy_(fresh, gradients)

    @torch.no_grad()
    def refresh(self) -> None:
        """Renew the copy, where there is one, from the weights."""
        if self._pairs:
            weights, copies = zip(*self._pairs, strict=True)
            torch._foreach_copy_(copies, weights)
