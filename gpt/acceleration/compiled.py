"""The loss and its gradients as one function that torch compiles for one shape of batch.

Forward and backward pass are traced together (`torch.func.grad_and_value`), so the compiler sees
all that is elementwise between two matrix products, and nothing of autograd is left at run time.
Compiling takes seconds (docs/speed.md says after how many steps they are won back) and, on a CPU,
a C++ compiler. Dropout draws what it would draw uncompiled. The compiler's caches of whole graphs
are off, because they are pickles.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from gpt.errors import InfeasibleError
from gpt.model.gpt import LanguageModel

Gradients = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, tuple[Tensor, ...]]]
"""x and y (B, T) and a factor () -> the loss, and the gradients of factor · loss."""


def only_of_batches(guards: Sequence[Any]) -> list[bool]:
    """Which of the compiler's guards to check before each call: those of the batch's tensors. All
    else is the same at each call."""
    return [guard.guard_type == "TENSOR_MATCH" and "weights" not in guard.name for guard in guards]


OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {
    "cpp.enable_floating_point_contract_flag": "fast",  # a · b + c in one instruction
    "fallback_random": True,
    "fx_graph_cache": False,
    "guard_filter_fn": only_of_batches,
    "size_asserts": False,  # of each tensor between two kernels
}


def compile_gradients(
    model: LanguageModel, context: Callable[[], AbstractContextManager[object]]
) -> Gradients:
    """A function whose first call with a shape compiles for it.

    Args:
        model: its parameters are read at each call, in their order.
        context: makes what the forward pass runs in.

    That first call raises `InfeasibleError` where the compiler can't.
    """
    from torch import _dynamo, _functorch, _inductor  # slow to import

    _inductor.config.compile_threads = 1  # or its helpers would outlive a run that is killed
    _functorch.config.enable_autograd_cache = False
    _dynamo.config.automatic_dynamic_local_pgo = False
    named = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def gradients(
        weights: dict[str, Tensor], x: Tensor, y: Tensor, factor: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        def objective(weights: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            with context():
                loss = torch.func.functional_call(model, weights, (x, y))
            return loss * factor, loss

        found, (_, loss) = torch.func.grad_and_value(objective, has_aux=True)(weights)
        return loss, tuple(found[name] for name in weights)

    # Variants are counted by code, at most eight of one: each run's model has a copy of its own.
    gradients.__code__ = gradients.__code__.replace()
    compiled = torch.compile(gradients, fullgraph=True, dynamic=False, options=OPTIONS)

    @torch.no_grad()
    def call(x: Tensor, y: Tensor, factor: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        try:
            return compiled(named, x, y, factor)
        except _dynamo.exc.TorchDynamoException as error:
            lines = (line for line in str(error).splitlines() if not line.endswith(":"))
            reason = next(lines, type(error).__name__)
            raise InfeasibleError(f"compile=True can't work here: {reason}") from error

    return call
