"""One contract for every way to average the past, and why the notebook's `allclose` said False."""

import pytest
import torch
from torch import Tensor

from bench.micro.aggregation import AGGREGATIONS

SHAPES = [(4, 8, 2), (1, 1, 1), (2, 129, 5), (3, 256, 32)]


@pytest.fixture
def originals_input() -> Tensor:
    """The (4, 8, 2) of both originals, with their seed."""
    return torch.randn(4, 8, 2, generator=torch.Generator().manual_seed(1337))


def exact_means(x: Tensor) -> Tensor:
    """The definition, in float64."""
    rows = [x[:, : t + 1].double().mean(1) for t in range(x.shape[1])]  # T times (B, C)
    return torch.stack(rows, dim=1)  # (B, T, C)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_worked_example(name: str) -> None:
    x = torch.tensor([[[2.0, 7.0], [6.0, 4.0], [6.0, 5.0]]])  # the originals' b, (1, 3, 2)

    means = AGGREGATIONS[name](x)

    torch.testing.assert_close(means, torch.tensor([[[2, 7], [4, 5.5], [14 / 3, 16 / 3]]]))


@pytest.mark.parametrize("name", AGGREGATIONS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("dtype", "atol"), [(torch.float64, 1e-14), (torch.float32, 2e-6), (torch.bfloat16, 0.1)]
)
def test_matches_float64(
    name: str, shape: tuple[int, int, int], dtype: torch.dtype, atol: float
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1337)).to(dtype)

    means = AGGREGATIONS[name](x)

    assert means.dtype == dtype
    torch.testing.assert_close(means.double(), exact_means(x), rtol=0, atol=atol)


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_a_changed_future_changes_nothing_before(name: str) -> None:
    x = torch.randn(2, 12, 3)
    changed = x.clone()
    changed[:, 7:] = 100.0

    before, after = AGGREGATIONS[name](x), AGGREGATIONS[name](changed)

    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.isclose(before[:, 7:], after[:, 7:]).any()


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_gradient(name: str) -> None:
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(AGGREGATIONS[name], x)


@pytest.mark.parametrize("name", ["matmul", "softmax", "cumsum"])
def test_where_allclose_says_false_terms_have_cancelled(
    originals_input: Tensor, name: str
) -> None:
    """Whatever a machine's order of addition: what `allclose` minds is rounding, and only that."""
    reference, other = AGGREGATIONS["loop"](originals_input), AGGREGATIONS[name](originals_input)
    exact = exact_means(originals_input)
    terms = exact_means(originals_input.abs())  # (B, T, C) how large what was averaged is

    minded = ~torch.isclose(other, reference)

    # a mean is minded only where it is far smaller than its terms …
    assert (exact.abs() < 0.05 * terms)[minded].all()
    # … and against its terms each is as good as float32 gets
    epsilon = torch.finfo(torch.float32).eps
    for means in (reference, other):
        assert ((means - exact).abs() <= 4 * epsilon * terms).all()
    assert torch.allclose(other, reference, atol=1e-6)
    doubled = originals_input.double()
    assert torch.allclose(AGGREGATIONS[name](doubled), AGGREGATIONS["loop"](doubled))


def test_allclose_rejects_float32_rounding_of_a_cancelled_mean(originals_input: Tensor) -> None:
    """The explanation without luck: one rounding of its largest term is more than it allows."""
    exact = exact_means(originals_input)
    b, t, c = 1, 5, 1  # the element that the notebook stumbled over
    one_rounding = originals_input[b, : t + 1, c].abs().max() * torch.finfo(torch.float32).eps / 2

    assert abs(exact[b, t, c]) == exact.abs().min()
    assert one_rounding > 1e-8 + 1e-5 * abs(exact[b, t, c])
    assert not torch.isclose(exact[b, t, c] + one_rounding, exact[b, t, c])
