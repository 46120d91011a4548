"""What an attention kernel is: a name, a function, and where it can run.

Letters: B batch, H heads, T time, D head size. A kernel computes, for each head,

    softmax(q kᵀ · scale + causal mask) v

with dropout on the softmax's output when `dropout_p` is above 0.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gpt.rng import PrivateRandomState


class Attend(Protocol):
    """The signature that all kernels share."""

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0
    ) -> Tensor:
        """q, k, v (B, H, T, D) of one dtype and device -> (B, H, T, D)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One way to compute causal attention."""

    name: str
    """As in `KERNELS` and in `ModelConfig.kernel`."""

    attend: Attend
    """The function, whose docstring says how it computes."""

    devices: tuple[str, ...] | None = None
    """The device types that it was written for; None: all."""

    seeds_dropout: bool = False
    """Whether it seeds its dropout in Python: a CUDA graph would drop the same at each launch."""

    forward_only: str | None = None
    """Why it has no backward pass on any device; None: it has one."""

    def unavailable(
        self,
        device: torch.device | str,
        dtype: torch.dtype,
        *,
        head_size: int = 32,
        dropout_p: float = 0.0,
        backward: bool = True,
    ) -> str | None:
        """Why the kernel can't be used so, in one line; None if it can.

        It is tried on a few tokens, for what torch supports depends on version, device, dtype,
        head size and dropout.
        """
        device = torch.device(device)
        if self.devices is not None and device.type not in self.devices:
            return f"{self.name} exists for {' and '.join(self.devices)}, not for {device.type}"
        if backward and self.forward_only is not None:
            return f"{self.name} has no backward pass: {self.forward_only}"
        return _complaint(lambda: self._try(device, dtype, head_size, dropout_p, backward))

    def _try(
        self,
        device: torch.device,
        dtype: torch.dtype,
        head_size: int,
        dropout_p: float,
        backward: bool,
    ) -> None:
        shape = (1, 2, 8, head_size)
        with PrivateRandomState(device, seed=0):
            q, k, v = (
                torch.randn(shape, device=device, dtype=dtype, requires_grad=backward)
                for _ in range(3)
            )
            out = self.attend(q, k, v, scale=head_size**-0.5, dropout_p=dropout_p)
            if backward:
                torch.autograd.grad(out.sum(), (q, k, v))


def _complaint(attempt: Callable[[], None]) -> str | None:
    """What went wrong in `attempt`, with the causes and warnings in which torch hides it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            attempt()
        except Exception as error:  # whatever it raises is the answer
            root: BaseException = error
            while root.__cause__ is not None:
                root = root.__cause__
            texts = [str(root), *(str(warning.message) for warning in caught)]
            lines = [text.split("\n")[0].split(" (Triggered")[0] for text in texts]
            return "; ".join(dict.fromkeys(line for line in lines if not line.endswith(":")))
    return None
