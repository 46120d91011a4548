"""How weights move, in C++ (update.h): a float32 weight and its bfloat16 copy at once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gpt.native.library import call, library


def norm_of_all(tensors: Sequence[Tensor]) -> Tensor:
    """The norm () of bfloat16 tensors together, as if they were one vector; squares in float32."""
    norm = torch.empty(())
    whole = [tensor.contiguous() for tensor in tensors]
    call(library().gpt_norm_of_all, norm, _addresses(whole), _sizes(whole), len(whole))
    return norm


class NativeAdamW:
    """AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101), as torch has it.

    Args:
        weights: in float32.
        copies: of them, in bfloat16. Both must stay where they are.
    """

    def __init__(self, weights: Sequence[Tensor], copies: Sequence[Tensor]) -> None:
        moments = [[torch.zeros_like(weight) for weight in weights] for _ in range(2)]
        self._held = [weights, copies, *moments]
        self._table = [_addresses(tensors) for tensors in self._held]
        self._steps = 0

    @torch.no_grad()
    def step(
        self,
        gradients: Sequence[Tensor | None],
        *,
        clip: float,
        lr: float,
        weight_decay: float,
        betas: tuple[float, float],
        eps: float,
    ) -> None:
        """Move the weights that have a gradient.

        Args:
            gradients: in bfloat16, each of them `clip` times too large.
        """
        self._steps += 1
        beta1, beta2 = betas
        whole = [None if gradient is None else gradient.contiguous() for gradient in gradients]
        call(
            library().gpt_adamw,
            *self._table,
            _addresses(whole),
            _sizes(whole),
            len(whole),
            clip,
            1 - lr * weight_decay,
            lr / (1 - beta1**self._steps),
            beta1,
            beta2,
            (1 - beta2**self._steps) ** -0.5,
            eps,
        )


class NativeMomenta:
    """Muon's part before and after its products, for matrices with the same two sides.

    Args:
        weights: in float32, (a, b) or (b, a) each.
        copies: of them, in bfloat16. Both must stay where they are.
    """

    def __init__(self, weights: Sequence[Tensor], copies: Sequence[Tensor]) -> None:
        self._held = [weights, copies, [torch.zeros_like(weight) for weight in weights]]
        self._weights, self._copies, self._momenta = (_addresses(x) for x in self._held)
        self._rows = torch.tensor([len(weight) for weight in weights])
        self._ahead = torch.empty(
            (len(weights), *sorted(weights[0].shape)), dtype=torch.bfloat16
        )  # (n, a, b) with a ≤ b
        self._size = len(weights), weights[0].numel()

    def look_ahead(
        self, gradients: Sequence[Tensor], *, clip: float, momentum: float, margin: float
    ) -> Tensor:
        """The momenta as they will be after the next step, (n, a, b), their norms 1 / margin."""
        whole = [gradient.contiguous() for gradient in gradients]
        table = self._momenta, _addresses(whole), self._rows
        call(library().gpt_look_ahead, self._ahead, *table, *self._size, clip, momentum, margin)
        return self._ahead

    def move(self, updates: Tensor, *, lr: float, shrink: float) -> None:
        """Each weight to shrink times itself, less lr times its update of (n, a, b)."""
        table = self._weights, self._copies, updates.contiguous(), self._rows
        call(library().gpt_move, *table, *self._size, shrink, lr)


def _addresses(tensors: Sequence[Tensor | None]) -> Tensor:
    """(n,) int64, of tensors that are contiguous; 0 for none."""
    return torch.tensor([0 if tensor is None else tensor.data_ptr() for tensor in tensors])


def _sizes(tensors: Sequence[Tensor | None]) -> Tensor:
    """(n,) int64, in numbers."""
    return torch.tensor([0 if tensor is None else tensor.numel() for tensor in tensors])
