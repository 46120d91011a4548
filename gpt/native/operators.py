"""The C++ kernels as operators of torch, which its compiler can put into a graph as they are."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch

_LIBRARY = torch.library.Library("gpt_bench", "DEF")

OPERATORS: Any = torch.ops.gpt_bench
"""What was defined, by name. None has a history: an autograd function gives it one."""


class Operator(Protocol):
    """Two static functions with the operator's own arguments."""

    compute: Callable[..., Any]
    """Does it, on a CPU."""

    shapes: Callable[..., Any]
    """Empty tensors like those that `compute` returns."""


O = TypeVar("O", bound=type[Operator])


def define(schema: str) -> Callable[[O], O]:
    """Make a class an operator, called by the schema's name."""

    def decorate(operator: O) -> O:
        name = schema.partition("(")[0]
        _LIBRARY.define(schema)
        _LIBRARY.impl(name, operator.compute, "CPU")
        torch.library.register_fake(f"gpt_bench::{name}", operator.shapes, lib=_LIBRARY)
        return operator

    return decorate
