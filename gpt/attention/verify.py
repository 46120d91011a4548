"""Is a kernel right, on this device, in this precision, at this shape?

It is asked before a kernel is timed, and before a model trains with it. Output and gradients must
match a float64 reference; and no token may change an output before it, nor an output have a
gradient in its future, to the bit. (Attention on MPS in half precision has leaked the future.)

The error of a row is the norm of the difference over D, relative to the largest of the norm of the
reference's row, the root mean square of all rows' norms, and √(D / T), the norm of a mean of T
unit-variance rows (at T = 1 the gradients of q and k are zero).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gpt.attention.kernel import Attend, Kernel
from gpt.attention.plain import matmul

PARTS = ("output", "gradient of q", "gradient of k", "gradient of v")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What `verify` found."""

    kernel: str
    """Its name."""

    reason: str | None
    """Why the kernel must not be used here; None: it is right."""

    errors: dict[str, float]
    """Largest relative error of each of `PARTS` that was computed."""

    tolerance: float
    """The error that rounding alone may cause."""

    @property
    def right(self) -> bool:
        """Whether the kernel passed."""
        return self.reason is None


def tolerance(dtype: torch.dtype, scale: float, head_size: int) -> float:
    """The relative error that a right kernel may have.

    A score of about scale · √D is rounded by its share of an epsilon, which the softmax turns into
    a relative error of the weights: the dtype's for what is stored in it, and float32's for sums.
    Up to T = 1024 no kernel of torch's needed more than 51% of the tolerance.
    """
    sums = torch.promote_types(dtype, torch.float32)
    epsilons = 8 * torch.finfo(dtype).eps + 32 * torch.finfo(sums).eps
    return epsilons * (1 + scale * math.sqrt(head_size))


def verify(
    kernel: Kernel,
    device: torch.device | str,
    dtype: torch.dtype,
    *,
    B: int = 2,
    H: int = 2,
    T: int = 64,
    D: int = 32,
    scale: float | None = None,
    backward: bool = True,
) -> Verdict:
    """Try a kernel at a shape, on unit-variance q, k and v laid out as the model lays them out.

    An exception of the kernel makes it wrong.

    Args:
        scale: of the scores; None: D ** -0.5.
        backward: False checks the forward pass alone.
    """
    scale = D**-0.5 if scale is None else scale
    limit = tolerance(dtype, scale, D)
    errors: dict[str, float] = {}
    reason = kernel.unavailable(device, dtype, head_size=D, backward=backward)
    if reason is None:
        inputs, grad_out = _inputs((B, H, T, D), device, dtype)
        try:
            errors = _errors(kernel.attend, inputs, grad_out if backward else None, scale)
            reason = _wrong(errors, limit)
            reason = reason or _leak(kernel.attend, inputs, grad_out if backward else None, scale)
        except Exception as error:
            reason = f"raised {type(error).__name__}: {error}"
    return Verdict(kernel=kernel.name, reason=reason, errors=errors, tolerance=limit)


def _inputs(
    shape: tuple[int, int, int, int], device: torch.device | str, dtype: torch.dtype
) -> tuple[list[Tensor], Tensor]:
    """q, k, v and the output's gradient, (B, H, T, D), each a view of (B, T, H, D)."""
    B, H, T, D = shape
    generator = torch.Generator().manual_seed(0)
    q, k, v, grad_out = (
        torch.randn(B, T, H, D, generator=generator).to(device, dtype).transpose(1, 2)
        for _ in range(4)
    )
    return [q, k, v], grad_out


def _run(
    attend: Attend, inputs: list[Tensor], grad_out: Tensor | None, scale: float
) -> list[Tensor]:
    """The output and, given its gradient, those of q, k and v; all (B, H, T, D)."""
    q, k, v = (x.detach().requires_grad_(grad_out is not None) for x in inputs)
    out = attend(q, k, v, scale=scale)
    if grad_out is None:
        return [out]
    return [out.detach(), *torch.autograd.grad(out, (q, k, v), grad_out)]


def _errors(
    attend: Attend, inputs: list[Tensor], grad_out: Tensor | None, scale: float
) -> dict[str, float]:
    """The largest relative error of each part, against `matmul` in float64 on the CPU."""
    exact_grad_out = None if grad_out is None else grad_out.cpu().double()
    exact = _run(matmul, [x.cpu().double() for x in inputs], exact_grad_out, scale)
    found = _run(attend, inputs, grad_out, scale)
    return {
        part: _relative_error(a.cpu().double(), b)
        for part, a, b in zip(PARTS, found, exact, strict=False)
    }


def _relative_error(found: Tensor, exact: Tensor) -> float:
    T, D = exact.shape[-2:]
    sizes = exact.norm(dim=-1)  # (B, H, T)
    typical = max(float(sizes.square().mean().sqrt()), math.sqrt(D / T))
    return float(((found - exact).norm(dim=-1) / sizes.clamp_min(typical)).max())


def _wrong(errors: dict[str, float], limit: float) -> str | None:
    for part, error in errors.items():
        if not error <= limit:  # NaN is wrong too
            return f"its {part} is off by {error:.1e} of a row, rounding explains {limit:.1e}"
    return None


def _leak(
    attend: Attend, inputs: list[Tensor], grad_out: Tensor | None, scale: float
) -> str | None:
    """Why the future leaks, be it from the second token on, from the middle or from the last."""
    T = inputs[0].shape[2]
    out = _run(attend, inputs, None, scale)[0]
    for start in sorted({1, T // 2, T - 1} & set(range(1, T))):
        other = [x.clone() for x in inputs]
        for x in other:
            x[:, :, start:] = 3 - 2 * x[:, :, start:]
        if not torch.equal(_run(attend, other, None, scale)[0][:, :, :start], out[:, :, :start]):
            return f"it leaks the future: tokens from {start} on change the output before"
        if grad_out is not None:
            past = grad_out.clone()
            past[:, :, start:] = 0
            gradients = _run(attend, inputs, past, scale)[1:]
            if any(gradient[:, :, start:].any() for gradient in gradients):
                return f"it leaks the future: outputs before {start} have a gradient from there on"
    return None
