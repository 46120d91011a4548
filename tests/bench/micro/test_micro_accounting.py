"""Work counted by hand, at sizes small enough to write down."""

import pytest

from bench.micro import accounting
from bench.micro.accounting import Work


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


def test_elementwise_parts_count_by_the_element() -> None:
    assert accounting.activation("relu", 10, itemsize=4) == Work(20, 200)
    assert accounting.norm("rmsnorm", N=2, C=4, itemsize=2) == Work(12 * 8, (40 + 12) * 2)


def test_optimizers() -> None:
    """Muon for a 2 × 3 matrix: each step multiplies 2·2·3, 2·2·2 and 2·2·3 times, and adds."""
    assert accounting.adamw(100) == Work(1400, 2800)
    assert accounting.muon([(3, 2)]) == Work(5 * 2 * (12 + 8 + 12) + 9 * 6, 5 * 6 * 4)
    assert accounting.muon([(2, 3)]) == accounting.muon([(3, 2)])
