"""What the suite's own autograd functions have in common."""

from typing import Any

from torch import Tensor
from torch.compiler import is_compiling


def mark_kept(ctx: Any, *outputs: Tensor) -> None:
    """Say in `setup_context` that these outputs are there for the backward pass alone.

    Torch would make it a gradient of zeros for each: as much memory again, filled at every step.
    (The compiler leaves those out, and knows no such setting.)
    """
    ctx.mark_non_differentiable(*outputs)
    if not is_compiling():
        ctx.set_materialize_grads(False)
