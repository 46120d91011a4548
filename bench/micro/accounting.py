"""What is the least that a part of the model must compute and move?

Only work that the method can't avoid is counted, so no correct implementation exceeds a ceiling:

- Arithmetic: additions and multiplications; an exponential, a square root or a division counts as
  one operation. The masked half of a T × T matrix does not count, whether it is skipped or not.
- Bytes: every input of a pass is read once, and every output written once. Intermediate results,
  such as a T × T matrix, do not count, because good kernels avoid building them.

Letters: B batch, T time, C channels, H heads, D head size, V vocabulary, N = B · T tokens.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from gpt.training.muon import product_flops

FLOAT32_BYTES = 4
INT64_BYTES = 8


@dataclass(frozen=True)
class Work:
    """The least work of a part."""

    flops: int
    """Floating-point operations."""

    bytes: int
    """Bytes to and from memory."""


def aggregation(name: str, B: int, T: int, C: int, itemsize: int) -> Work:
    """The causal mean of (B, T, C) by one of `bench.micro.aggregation.AGGREGATIONS`.

    The loop adds up every prefix: t − 1 additions and a division for position t. The products
    multiply and add for each of T (T + 1) / 2 pairs, after T (T + 1) / 2 divisions for the weights
    (and as many exponentials and additions for the softmax). The cumulative sum adds once.
    """
    pairs = T * (T + 1) // 2
    flops = {
        "loop": pairs * B * C,
        "matmul": 2 * pairs * B * C + pairs,
        "softmax": 2 * pairs * B * C + 3 * pairs,
        "cumsum": (2 * T - 1) * B * C,
    }[name]
    return Work(flops, 2 * B * T * C * itemsize)


def attention(B: int, H: int, T: int, D: int, itemsize: int, *, backward: bool) -> Work:
    """Causal attention over (B, H, T, D).

    Forward, two products over the pairs (i, j ≤ i): q kᵀ, and the weights with v. Backward, four:
    the gradients of v, of the weights, of q and of k. A softmax is small beside them and left out.
    """
    pairs = T * (T + 1) // 2
    n_products, n_tensors = (6, 11) if backward else (2, 4)
    # tensors, forward: q, k, v, out; backward: q, k, v and out's gradient, then those of q, k, v
    return Work(n_products * 2 * B * H * pairs * D, n_tensors * B * H * T * D * itemsize)


def loss_head(N: int, C: int, V: int, itemsize: int) -> Work:
    """Logits and cross-entropy of (N, C), forward and backward.

    Three products (logits, gradients of the input and of the matrix), and for each logit a
    subtraction, an exponential and an addition forward, as many backward.
    """
    flops = 3 * 2 * N * C * V + 6 * N * V
    return Work(flops, 3 * (N * C + V * C) * itemsize + 2 * N * INT64_BYTES)


def norm(name: str, N: int, C: int, itemsize: int) -> Work:
    """`layernorm` (without bias) or `rmsnorm` of (N, C), forward and backward.

    RMSNorm, for each element: square and add, divide, weight (4); backward the weight, its product
    with the normalised row and that one's sum, a multiplication, a subtraction and a division, and
    two for the weight's gradient (8). LayerNorm also sums and subtracts the mean, both ways (4).
    """
    per_element = {"rmsnorm": 12, "layernorm": 16}[name]
    return Work(per_element * N * C, (5 * N * C + 3 * C) * itemsize)


def activation(name: str, n_elements: int, itemsize: int) -> Work:
    """An elementwise non-linearity, forward and backward.

    ReLU: a comparison each way. ReLU²: a multiplication more forward, two backward. GELU: x Φ(x)
    from a scaled erf (4), and Φ(x) + x φ(x) times the gradient from another exponential (9).
    """
    per_element = {"relu": 2, "relu2": 5, "gelu": 13}[name]
    return Work(per_element * n_elements, 5 * n_elements * itemsize)


def adamw(n_params: int) -> Work:
    """A step of AdamW in float32: reads weights, gradients, two moments; writes all but gradients.

    Decay 1, first moment 3, second moment 4, its root, correction and epsilon 3, update 3.
    """
    return Work(14 * n_params, 7 * n_params * FLOAT32_BYTES)


def muon(shapes: Iterable[tuple[int, int]], n_iterations: int) -> Work:
    """A step of Muon for matrices of these shapes: momentum, products, update.

    The products are those of `gpt.training.muon.product_flops`; momentum, Nesterov's step, decay
    and update take 9 operations an element.
    """
    flops = n_bytes = 0
    for shape in shapes:
        a, b = shape
        flops += product_flops(shape, n_iterations) + 9 * a * b
        n_bytes += 5 * a * b * FLOAT32_BYTES
    return Work(flops, n_bytes)
