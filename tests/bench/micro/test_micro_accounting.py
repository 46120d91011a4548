"""Work counted by hand, at sizes small enough to write down."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bench.micro import accounting
from bench.micro.accounting import Work
from gpt.training.muon import Muon


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("loop", 2 * (0 + 1 + 2) + 2 * 3),  # additions of two columns, then a division each
        ("matmul", 2 * (2 * (1 + 2 + 3)) + 6),  # six weights divided, each times and plus
        ("softmax", 2 * (2 * (1 + 2 + 3)) + 3 * 6),  # and exponentials and sums before
        ("cumsum", 2 * 2 + 2 * 3),
    ],
)
def test_the_mean_of_three_tokens_of_two_channels(name: str, flops: int) -> None:
    assert accounting.aggregation(name, B=1, T=3, C=2, itemsize=4) == Work(flops, 2 * 6 * 4)


def test_attention_over_two_tokens() -> None:
    """Three pairs of tokens, four channels: 3 · 4 multiplications and additions a product."""
    forward = accounting.attention(1, 1, 2, 4, itemsize=2, backward=False)
    both = accounting.attention(1, 1, 2, 4, itemsize=2, backward=True)

    assert forward == Work(flops=2 * 2 * 12, bytes=4 * 8 * 2)
    assert both == Work(flops=6 * 2 * 12, bytes=11 * 8 * 2)


def test_attention_grows_with_heads_and_batch_and_the_square_of_time() -> None:
    one = accounting.attention(1, 1, 512, 32, itemsize=4, backward=True)
    more = accounting.attention(3, 2, 512, 32, itemsize=4, backward=True)
    longer = accounting.attention(1, 1, 1024, 32, itemsize=4, backward=True)

    assert more == Work(6 * one.flops, 6 * one.bytes)
    assert longer.flops / one.flops == pytest.approx(4, rel=0.01)
    assert longer.bytes == 2 * one.bytes


def test_a_loss_head_of_two_tokens() -> None:
    """Two tokens, three channels, five words: 30 multiplications and additions a product."""
    head = accounting.loss_head(N=2, C=3, V=5, itemsize=4)

    assert head.flops == 3 * 2 * 30 + 6 * 10
    assert head.bytes == 3 * (6 + 15) * 4 + 2 * 2 * 8


def test_the_products_of_a_loss_head_are_those_that_torch_counts() -> None:
    N, C, V = 7, 6, 11
    x, weight = (torch.randn(n, C, requires_grad=True) for n in (N, V))

    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(F.linear(x, weight), torch.zeros(N, dtype=torch.long)).backward()

    elementwise = 6 * N * V
    assert accounting.loss_head(N, C, V, 4).flops - elementwise == counter.get_total_flops()


@pytest.mark.parametrize("backward", [False, True])
def test_the_products_of_attention_are_half_of_those_that_torch_counts(backward: bool) -> None:
    """But for the diagonal: of T × T pairs, T (T + 1) / 2 are in the past."""
    B, H, T, D = 2, 3, 5, 4
    q, k, v = (torch.randn(B, H, T, D, requires_grad=True) for _ in range(3))

    with FlopCounterMode(display=False) as counter:
        out = torch.softmax(q @ k.mT, -1) @ v
        if backward:
            out.sum().backward()

    work = accounting.attention(B, H, T, D, itemsize=4, backward=backward)
    assert work.flops * 2 * T == counter.get_total_flops() * (T + 1)


def test_elementwise_parts_move_each_number_once() -> None:
    """Forward x and out, backward x, out's gradient and x's; and a norm's weight likewise."""
    assert accounting.activation("relu", 10, itemsize=4).bytes == 5 * 10 * 4
    assert accounting.norm("rmsnorm", N=2, C=4, itemsize=2).bytes == (5 * 8 + 3 * 4) * 2


class Elementwise(TorchDispatchMode):
    """Counts an operation for each number that a formula's operations make, or sum up."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if "sum" in str(func):
            self.count += args[0].numel()
        elif not any(word in str(func) for word in ("view", "expand", "detach", "aten.t.")):
            self.count += out.numel()
        return out


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.erf(x / 2**0.5))


def layernorm(x: Tensor, weight: Tensor) -> Tensor:
    return rmsnorm(x - x.sum(-1, keepdim=True) / x.shape[-1], weight)


def rmsnorm(x: Tensor, weight: Tensor) -> Tensor:
    return x / ((x * x).sum(-1, keepdim=True) / x.shape[-1]).sqrt() * weight


@pytest.mark.parametrize(
    ("formula", "count"),
    [
        (torch.relu, accounting.activation("relu", 64 * 128, 4).flops),
        (
            lambda x: torch.relu(x) * torch.relu(x),
            accounting.activation("relu2", 64 * 128, 4).flops,
        ),
        (gelu, accounting.activation("gelu", 64 * 128, 4).flops),
        (rmsnorm, accounting.norm("rmsnorm", 64, 128, 4).flops),
        (layernorm, accounting.norm("layernorm", 64, 128, 4).flops),
    ],
    ids=["relu", "relu2", "gelu", "rmsnorm", "layernorm"],
)
def test_the_least_is_no_more_than_the_formula_written_out_does(
    formula: Callable[..., Tensor], count: int
) -> None:
    """Step by step, forward and backward, with whatever autograd computes twice; nor far less."""
    n_weights = 2 if "norm" in formula.__name__ else 1
    shapes = [(64, 128), (128,)][:n_weights]
    inputs = [torch.rand(shape, requires_grad=True) for shape in shapes]

    with Elementwise() as counter:
        formula(*inputs).backward(torch.rand(64, 128))

    assert counter.count / 2 < count <= counter.count


def test_adamw_counts_its_formula_by_the_element() -> None:
    """Loshchilov and Hutter 2019, algorithm 2, whose corrections are numbers, not tensors."""
    weight, gradient, first, second = torch.rand(4, 100)

    with Elementwise() as counter:
        first = 0.9 * first + 0.1 * gradient
        second = 0.99 * second + 0.01 * gradient * gradient
        weight = 0.999 * weight - 1e-3 * first / (1.05 * second.sqrt() + 1e-8)

    work = accounting.adamw(100)
    assert work.flops == counter.count
    assert work.bytes == 7 * 100 * 4  # weight, moments and gradient in, the first three out


def test_muon_counts_its_formula_by_the_element() -> None:
    """Without iterations: the average, a step ahead of it, and the update."""
    weight, gradient, average, orthogonal = torch.rand(4, 10, 10)

    with Elementwise() as counter:
        average = average + 0.05 * (gradient - average)
        gradient + 0.95 * (average - gradient)
        weight = 0.999 * weight - 0.02 * orthogonal

    assert accounting.muon([(10, 10)], n_iterations=0).flops == counter.count


@pytest.mark.parametrize("n_iterations", [1, 3, 5])
def test_the_products_of_muon_are_those_that_torch_counts(n_iterations: int) -> None:
    shapes = [(3, 2), (2, 3), (8, 8), (12, 4)]
    weights = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer = Muon(weights, lr=0.1, weight_decay=0.1, n_iterations=n_iterations)

    with FlopCounterMode(display=False) as counter:
        optimizer.step()

    work, rest = (accounting.muon(shapes, n) for n in (n_iterations, 0))
    assert work.flops - rest.flops == counter.get_total_flops()
    assert work.bytes == 5 * (6 + 6 + 64 + 48) * 4
