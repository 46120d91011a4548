"""Four ways to compute the mean of each token and all tokens before it, the simplest attention.

    out[b, t] = mean over i ≤ t of x[b, i],   x and out (B, T, C)

The loop is the definition; a lower-triangular matrix says it as one product; a softmax over masked
zeros gives the same matrix, and from there it is one step to attention (replace the zeros by
scores); and a cumulative sum needs T additions where the matrix needs T².

In float32 they agree, but not to the last bit, because they add in different orders.
`torch.allclose` with its default tolerances may then return False, as in the Don Quixote notebook:
it allows 1e-8 + 1e-5 · |value|. Where terms of size 1 cancel to a mean near 0, the rounding errors
of those terms, up to 6e-8 each, are larger than that. One of the notebook's 64 means (b = 1,
t = 5, c = 1) is 0.002 and differs by 3e-8, which is in its fifth digit. Relative to the size of
the terms nothing is wrong: in float64 all four agree, and in float32 they agree with `atol=1e-6`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Aggregation = Callable[[Tensor], Tensor]


def loop(x: Tensor) -> Tensor:
    """A mean for each sequence and position, in Python."""
    out = torch.zeros_like(x)
    B, T, _ = x.shape
    for b in range(B):
        for t in range(T):
            out[b, t] = x[b, : t + 1].mean(0)  # (t + 1, C) -> (C,)
    return out


def matmul(x: Tensor) -> Tensor:
    """A product with the lower triangle of ones, each row divided by its sum."""
    T = x.shape[1]
    weights = torch.ones(T, T, dtype=x.dtype, device=x.device).tril()
    weights = weights / weights.sum(1, keepdim=True)
    return weights @ x  # (T, T) @ (B, T, C) -> (B, T, C)


def softmax(x: Tensor) -> Tensor:
    """The same product, its weights the softmax of 0 for the past and −inf for the future."""
    T = x.shape[1]
    future = torch.ones(T, T, dtype=torch.bool, device=x.device).triu(1)
    scores = torch.zeros(T, T, dtype=x.dtype, device=x.device).masked_fill(future, float("-inf"))
    return scores.softmax(dim=-1) @ x  # (T, T) @ (B, T, C) -> (B, T, C)


def cumsum(x: Tensor) -> Tensor:
    """Running sums, each divided by the number of its terms."""
    counts = torch.arange(1, x.shape[1] + 1, dtype=x.dtype, device=x.device)
    return x.cumsum(dim=1) / counts[:, None]  # (B, T, C) / (T, 1)


AGGREGATIONS: dict[str, Aggregation] = {
    "loop": loop,
    "matmul": matmul,
    "softmax": softmax,
    "cumsum": cumsum,
}
"""By name, in the order of the originals."""
