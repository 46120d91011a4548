"""Muon: momentum, made orthogonal (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

A matrix moves by its momentum with all singular values set to about one, which no entry-wise rule
can do. A Newton–Schulz iteration gets there by products alone, in bfloat16.

Unlike torch's Muon, matrices of one shape go through the iteration together: a small model's are
too small to keep a processor busy one by one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of x -> a x + b x³ + c x⁵, chosen to lift small singular values fast; the large ones end up
within about 0.7 and 1.2."""

EPSILON = 1e-7


class Muon(torch.optim.Optimizer):
    """Muon for matrices, with Nesterov momentum and decoupled decay.

    The update is scaled by 0.2 · √(longer side), so that its entries are of the size of AdamW's
    and one learning rate serves both (Liu et al. 2025, https://arxiv.org/abs/2502.16982).

    Args:
        n_iterations: of Newton–Schulz.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        n_iterations: int = 5,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "n_iterations": n_iterations,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        if closure is not None:
            raise AssertionError("Muon takes its gradients as they are")
        for group in self.param_groups:
            alike: defaultdict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[min(weight.shape), max(weight.shape)].append(weight)
            for weights in alike.values():
                self._move(weights, group)

    def _move(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """One step of matrices with the same sides."""
        lr = group["lr"]
        directions = [self._direction(weight, group["momentum"]) for weight in weights]
        orthogonal = orthogonalize(torch.stack(directions), group["n_iterations"])  # (n, a, b)
        size = 0.2 * max(weights[0].shape) ** 0.5
        for weight, update in zip(weights, orthogonal, strict=True):
            weight.mul_(1 - lr * group["weight_decay"])
            weight.add_(update if update.shape == weight.shape else update.T, alpha=-lr * size)

    def _direction(self, weight: Tensor, momentum: float) -> Tensor:
        """The momentum as it will be after the next step, lying on its longer side."""
        if weight.grad is None:
            raise AssertionError("only matrices with a gradient move")
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        average = state["momentum"].lerp_(weight.grad, 1 - momentum)
        ahead = weight.grad.lerp(average, momentum)
        return ahead if ahead.shape[0] <= ahead.shape[1] else ahead.T


def orthogonalize(x: Tensor, n_iterations: int) -> Tensor:
    """(n, a, b) with a ≤ b -> bfloat16 (n, a, b): each matrix's singular values set near one."""
    a, b, c = COEFFICIENTS
    x = x.bfloat16()
    x /= x.norm(dim=(1, 2), keepdim=True) + EPSILON
    for _ in range(n_iterations):
        gram = x @ x.mT  # (n, a, a)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)  # (n, a, a)
        x = torch.baddbmm(x, polynomial, x, beta=a)  # (n, a, b)
    return x
