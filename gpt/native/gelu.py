"""GELU in C++, forward and backward (gelu.h), in bfloat16 on a CPU."""

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.polynomial import chebyshev
from torch import Tensor

from gpt.native.library import address, library
from gpt.native.operators import OPERATORS, define

LIMIT, DEGREE = 5.0, 11
"""As in gelu.h. Value and slope are then within 2e-5 of the exact ones."""


def native_gelu(x: Tensor) -> Tensor:
    """x · Φ(x), elementwise, of bfloat16 on a CPU."""
    out: Tensor = _Gelu.apply(x)  # type: ignore[no-untyped-call]
    return out


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        out: Tensor = OPERATORS.gelu(x)
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        out: Tensor = OPERATORS.gelu_backward(grads[0], *ctx.saved_tensors)
        return out


def _odd(f: Callable[[float], float]) -> ctypes.Array[ctypes.c_float]:
    """The polynomial P of degree `DEGREE` with f(x) ≈ x · P(2 x² / LIMIT² − 1) up to `LIMIT`."""

    def ratio(u: float) -> float:
        x = LIMIT * math.sqrt((u + 1) / 2)
        return f(x) / x

    coefficients = chebyshev.cheb2poly(chebyshev.chebinterpolate(np.vectorize(ratio), DEGREE))
    return (ctypes.c_float * (DEGREE + 1))(*coefficients)


def _half_erf(x: float) -> float:
    return math.erf(x * math.sqrt(0.5)) / 2  # Φ(x) − 1/2


VALUE = _odd(_half_erf)
SLOPE = _odd(lambda x: _half_erf(x) + x * math.exp(-x * x / 2) / math.sqrt(2 * math.pi))


@define("gelu(Tensor x) -> Tensor")
class _Forward:
    @staticmethod
    def shapes(x: Tensor) -> Tensor:
        return torch.empty_like(x, memory_format=torch.contiguous_format)

    @staticmethod
    def compute(x: Tensor) -> Tensor:
        x = x.contiguous()
        out = _Forward.shapes(x)
        library().gpt_gelu(
            address(out), address(x), x.numel(), VALUE, torch.get_num_threads()
        )
        return out


@define("gelu_backward(Tensor grad_out, Tensor x) -> Tensor")
class _Backward:
    @staticmethod
    def shapes(grad_out: Tensor, x: Tensor) -> Tensor:  # noqa: ARG004
        return torch.empty_like(x, memory_format=torch.contiguous_format)

    @staticmethod
    def compute(grad_out: Tensor, x: Tensor) -> Tensor:
        grad_out, x = grad_out.contiguous(), x.contiguous()
        grad = _Backward.shapes(grad_out, x)
        library().gpt_gelu_backward(
            address(grad), address(grad_out), address(x), x.numel(), SLOPE,
            torch.get_num_threads(),
        )  # fmt: skip
        return grad
