"""An MLP's activation in C++, forward and backward (activation.h), in bfloat16 on a CPU."""

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.polynomial import Chebyshev, Polynomial
from torch import Tensor

from gpt.config.model import Activation
from gpt.native.library import call, library
from gpt.native.operators import OPERATORS, operator

NUMBERS: dict[Activation, int] = {"relu": 0, "relu2": 1, "gelu": 2}
"""What activation.h calls them."""

LIMIT, PIECES = 5.0, 32
"""Of GELU: with a parabola in each piece of [0, LIMIT], its value is within 1e-5 of the exact one,
and its slope within 4e-5, up to LIMIT and beyond it."""


def native_activation(x: Tensor, name: Activation) -> Tensor:
    """Elementwise, of bfloat16 on a CPU."""
    out: Tensor = _Activation.apply(x, NUMBERS[name])  # type: ignore[no-untyped-call]
    return out


class _Activation(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, number: int) -> Tensor:
        out: Tensor = OPERATORS.activation(x, number)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG004
        x, ctx.number = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return OPERATORS.activation_backward(grads[0], *ctx.saved_tensors, ctx.number), None


def _parabolas(f: Callable[[float], float]) -> list[float]:
    """The constants of f's parabolas, then their slopes, then their curvatures."""
    terms, width = np.zeros((3, PIECES)), LIMIT / (PIECES - 0.5)
    for piece in range(PIECES):
        domain = [max(0.0, (piece - 0.5) * width), (piece + 0.5) * width]
        fitted = Chebyshev.interpolate(np.vectorize(f), 2, domain=domain)
        terms[:, piece] = fitted.convert(kind=Polynomial, window=domain, domain=domain).coef
    return [float(term) for term in terms.flatten()]


def _half_erf(x: float) -> float:
    return math.erf(x * math.sqrt(0.5)) / 2  # Φ(x) − 1/2


def _half_slope(x: float) -> float:
    return _half_erf(x) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


GELU = (ctypes.c_float * (1 + 6 * PIECES))(LIMIT, *_parabolas(_half_erf), *_parabolas(_half_slope))
"""What activation.h needs to know of it."""


def _empty(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@operator("activation(Tensor x, int number) -> Tensor", lambda x, number: _empty(x))  # noqa: ARG005
def _forward(x: Tensor, number: int) -> Tensor:
    x = x.contiguous()
    out = _empty(x)
    call(library().gpt_activation, out, x, x.numel(), number, GELU)
    return out


@operator(
    "activation_backward(Tensor grad_out, Tensor x, int number) -> Tensor",
    lambda grad_out, x, number: _empty(x),  # noqa: ARG005
)
def _backward(grad_out: Tensor, x: Tensor, number: int) -> Tensor:
    grad_out, x = grad_out.contiguous(), x.contiguous()
    grad = _empty(x)
    call(library().gpt_activation_backward, grad, grad_out, x, x.numel(), number, GELU)
    return grad
