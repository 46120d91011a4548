"""The C++ kernels as operators of torch, which its compiler can put into a graph as they are."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

_LIBRARY = torch.library.Library("gpt_bench", "DEF")  # type: ignore[no-untyped-call]

OPERATORS: Any = torch.ops.gpt_bench
"""What was defined, by name. None has a history: an autograd function gives it one."""

Compute = TypeVar("Compute", bound=Callable[..., Any])


def operator(schema: str, empty: Callable[..., Any]) -> Callable[[Compute], Compute]:
    """Make a function the operator of this schema on a CPU.

    Args:
        empty: tensors like those that it returns, made of its arguments.
    """

    def define(compute: Compute) -> Compute:
        name = schema.partition("(")[0]
        _LIBRARY.define(schema)  # type: ignore[no-untyped-call]
        _LIBRARY.impl(name, compute, "CPU")  # type: ignore[no-untyped-call]
        torch.library.register_fake(f"gpt_bench::{name}", empty, lib=_LIBRARY)
        return compute

    return define
