"""Work counted by hand, at sizes small enough to write down."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from bench.micro import accounting
from bench.micro.accounting import Work
from gpt.muon import Muon


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


def test_elementwise_parts_count_by_the_element() -> None:
    assert accounting.activation("relu", 10, itemsize=4) == Work(20, 200)
    assert accounting.norm("rmsnorm", N=2, C=4, itemsize=2) == Work(12 * 8, (40 + 12) * 2)


def test_adamw_counts_by_the_element() -> None:
    assert accounting.adamw(100) == Work(1400, 2800)


@pytest.mark.parametrize("n_iterations", [1, 3, 5])
def test_the_products_of_muon_are_those_that_torch_counts(n_iterations: int) -> None:
    shapes = [(3, 2), (2, 3), (8, 8), (12, 4)]
    weights = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
    for weight in weights:
        weight.grad = torch.randn_like(weight)
    optimizer = Muon(weights, lr=0.1, weight_decay=0.1, n_iterations=n_iterations)

    with FlopCounterMode(display=False) as counter:
        optimizer.step()

    n_elements = 6 + 6 + 64 + 48
    work = accounting.muon(shapes, n_iterations)
    assert work.flops - 9 * n_elements == counter.get_total_flops()
    assert work.bytes == 5 * n_elements * 4
