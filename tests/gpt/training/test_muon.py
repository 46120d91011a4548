"""Muon against the singular value decomposition, and matrices together against one by one."""

from collections.abc import Callable

import pytest
import torch

from gpt.acceleration.step import Step
from gpt.training import muon
from gpt.training.muon import Muon, orthogonalize
from gpt.training.setup import Setup

SHAPES = [(12, 4), (4, 12), (4, 4), (12, 4)]


def test_enough_iterations_give_the_nearest_orthogonal_matrix() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 6, 20)
    u, _, v = torch.linalg.svd(x, full_matrices=False)

    before = x.clone()

    assert (orthogonalize(x, 9) - u @ v).abs().max() < 1e-3
    assert (orthogonalize(x.bfloat16(), 9) - u @ v).abs().max() < 0.02
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("dtype", "product_dtype"),
    [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float32)],
)
def test_a_run_multiplies_in_what_its_config_says_on_every_machine(
    dtype: str,
    product_dtype: torch.dtype,
    settle: Callable[..., Setup],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So runs with one key compute the same."""
    found = []

    def spy(x: torch.Tensor, n_iterations: int) -> torch.Tensor:
        found.append(orthogonalize(x, n_iterations))
        return found[-1]

    monkeypatch.setattr(muon, "orthogonalize", spy)
    x = torch.arange(4 * 16).reshape(4, 16) % 60
    Step(settle(optimizer="muon", dtype=dtype))(x, x, 0.01)

    assert {x.dtype for x in found} == {product_dtype}


def moved(gradients: list[torch.Tensor]) -> list[torch.Tensor]:
    """Matrices of ones after two steps of one optimizer that holds them all."""
    weights = [torch.nn.Parameter(torch.ones_like(gradient)) for gradient in gradients]
    optimizer = Muon(weights, lr=0.1, weight_decay=0.5)
    for sign in (1, -3):
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = sign * gradient
        optimizer.step()
    return [weight.detach() for weight in weights]


def test_a_matrix_and_its_transpose_move_alike() -> None:
    gradient = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
    lying, standing = moved([gradient, gradient.T])

    torch.testing.assert_close(lying, standing.T)


def test_the_first_step_is_as_large_as_adamws() -> None:
    """Root mean square 0.2 times the learning rate, whatever the gradient's size.

    With as many iterations as bring singular values of 0.01 to 1.
    """
    for shape in SHAPES:
        weight = torch.nn.Parameter(torch.zeros(shape))
        weight.grad = 1e-3 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
        Muon([weight], lr=0.1, weight_decay=0.0, n_iterations=9).step()
        rms = weight.detach().square().mean().sqrt()

        assert float(rms) == pytest.approx(0.02, rel=0.01)


def test_matrices_without_a_gradient_stay() -> None:
    still, moving = (torch.nn.Parameter(torch.ones(4, 4)) for _ in range(2))
    moving.grad = torch.eye(4)
    Muon([still, moving], lr=0.1, weight_decay=0.1).step()

    assert torch.equal(still, torch.ones(4, 4))
    assert not torch.equal(moving, torch.ones(4, 4))


def test_matrices_together_move_as_each_does_alone() -> None:
    torch.manual_seed(0)
    gradients = [torch.randn(shape) for shape in SHAPES]

    together = moved(gradients)

    for gradient, moved_together in zip(gradients, together, strict=True):
        torch.testing.assert_close(*moved([gradient]), moved_together)
