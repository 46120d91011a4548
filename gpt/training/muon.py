"""Muon: momentum, made orthogonal (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

A matrix moves by its momentum with all singular values set to about one, which no entry-wise rule
can do. A polynomial iteration gets there by matrix products alone, for which bfloat16 is precise
enough.

Unlike torch's Muon, matrices of one shape go through the iteration together: a small model's are
too small to keep a processor busy one by one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845749493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.875, -1.25, 0.375),
)
"""Of x -> a x + b x³ + c x⁵, one triple an iteration, the last one for all after it. They bring
singular values between 0.001 and 1 close to 1 in the fewest iterations (Amsel et al. 2025, the
Polar Express, https://arxiv.org/abs/2505.16932). Three train as well as five of Jordan's."""

MARGIN = 1.01
"""The largest singular value is kept below 1 by this factor, because bfloat16 rounds."""


class Muon(torch.optim.Optimizer):
    """Muon for matrices, with Nesterov momentum and decoupled decay.

    The update is scaled by 0.2 · √(longer side), so that its entries are of the size of AdamW's
    and one learning rate serves both (Liu et al. 2025, https://arxiv.org/abs/2502.16982).

    Args:
        n_iterations: of the polynomial iteration.
        product_dtype: of the polynomial iteration; None: the weights' own.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        n_iterations: int = 3,
        product_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.n_iterations, self.product_dtype = n_iterations, product_dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        if closure is not None:
            raise AssertionError("Muon can't recompute the gradients")
        for group in self.param_groups:
            by_sides: defaultdict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_sides[min(weight.shape), max(weight.shape)].append(weight)
            for weights in by_sides.values():
                self._move(weights, group)

    def _move(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """One step of matrices with the same sides."""
        lr = group["lr"]  # a number, or () in a CUDA graph
        ahead = self._look_ahead(weights, group["momentum"])
        wide = torch.stack([x if x.shape[0] <= x.shape[1] else x.T for x in ahead])  # (n, a, b)
        orthogonal = orthogonalize(wide.to(self.product_dtype or wide.dtype), self.n_iterations)
        size = 0.2 * wide.shape[2] ** 0.5
        updates = orthogonal.to(wide.dtype).mul_(lr * size)
        torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        torch._foreach_sub_(
            weights,
            [
                update if update.shape == weight.shape else update.T
                for weight, update in zip(weights, updates, strict=True)
            ],
        )

    def _look_ahead(self, weights: list[Tensor], momentum: float) -> tuple[Tensor, ...]:
        """Update the momenta; returns Nesterov's directions."""
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum"] = torch.zeros_like(weight)
        averages = [self.state[weight]["momentum"] for weight in weights]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        return torch._foreach_lerp(gradients, averages, momentum)


def product_flops(shape: tuple[int, int], n_iterations: int) -> int:
    """Floating-point operations of the products that make a matrix of this shape orthogonal.

    With a ≤ b its sides, an iteration of `orthogonalize` multiplies and adds a² b, a³ and
    a² b times. That two of its results are symmetric is not made use of.
    """
    a, b = sorted(shape)
    return n_iterations * 2 * (2 * a * a * b + a**3)


def orthogonalize(x: Tensor, n_iterations: int) -> Tensor:
    """(n, a, b) with a ≤ b -> the same shape: each matrix's singular values set near one."""
    x = x / (x.norm(dim=(1, 2), keepdim=True) * MARGIN + 1e-7)
    for i in range(n_iterations):
        a, b, c = COEFFICIENTS[min(i, len(COEFFICIENTS) - 1)]
        gram = x @ x.mT  # (n, a, a)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)  # (n, a, a)
        x = torch.baddbmm(x, polynomial, x, beta=a)  # (n, a, b)
    return x
