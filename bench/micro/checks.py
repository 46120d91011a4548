"""Is a part right, at the shape and in the precision in which it is about to be timed?

Attention has `gpt.attention.verify`; here is the same for everything else: outputs and gradients
against the same computation in float64.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bench.micro.aggregation import Aggregation

Compute = Callable[[torch.dtype], Sequence[Tensor]]
"""Computes all results of a part, outputs and gradients, in a dtype, from the same numbers."""


def tolerance(dtype: torch.dtype) -> float:
    """The relative error by rounding inputs to the dtype, and sums to float32 or better."""
    sums = torch.promote_types(dtype, torch.float32)
    return 8 * torch.finfo(dtype).eps + 32 * torch.finfo(sums).eps


def disagreement(
    compute: Compute, dtype: torch.dtype, *, reference: Compute | None = None, slack: float = 1
) -> str | None:
    """Where a part differs from a reference in float64 by more than rounding; None: nowhere.

    Args:
        reference: what to compare with; None: the part itself.
        slack: allowed multiple of the usual rounding error.
    """
    limit = slack * tolerance(dtype)
    pairs = zip(compute(dtype), (reference or compute)(torch.float64), strict=True)
    for i, (found, exact) in enumerate(pairs):
        size = float(exact.double().norm())
        error = float((found.double() - exact.double()).norm()) / (size or 1.0)
        if not error <= limit:  # NaN is wrong too
            return f"its result {i} is off by {error:.1e}, where rounding explains {limit:.1e}"
    return None


def wrong_mean(aggregate: Aggregation, x: Tensor) -> str | None:
    """Why a causal mean of x (B, T, C) is wrong; None: it is right.

    A mean may be far smaller than its terms, so errors are relative to the largest term.
    """
    T = x.shape[1]
    exact = x.double().cumsum(1) / torch.arange(1, T + 1, device=x.device)[:, None]
    found = aggregate(x)
    error = float((found.double() - exact).abs().max() / x.double().abs().max())
    limit = tolerance(x.dtype)
    if not error <= limit:
        return f"it is off by {error:.1e} of its terms, where rounding explains {limit:.1e}"
    changed = x.clone()
    changed[:, T // 2 :] += 1
    if not torch.equal(aggregate(changed)[:, : T // 2], found[:, : T // 2]):
        return f"it leaks the future: tokens from {T // 2} on change the mean before"
    return None
