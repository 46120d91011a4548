"""CUDA graphs: work whose kernels are recorded once, and then launched all together.

Python takes some 10 µs to launch a kernel, and a small model's kernels are over in less: run
plainly, the device waits for Python most of the time. A recording is launched as one
(https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs/). It reads and writes the same
memory each time, so what changes from one launch to the next is copied in.

Left out on purpose: torch's own `make_graphed_callables`, which records a forward and a backward
pass, and leaves the optimizer's dozens of kernels to Python.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from gpt.errors import InfeasibleError

T = TypeVar("T")

Step = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""x and y (B, T) and a learning rate () -> loss () and norm of the gradient ()."""


def record(
    work: Callable[[], T], generator: torch.Generator | None = None
) -> tuple[Callable[[], None], T]:
    """What launches the recorded work again, and what the work returned: nothing is computed yet.

    The work must have run before: what libraries and optimizers make ready is no part of it.

    Args:
        generator: of the device, that the work draws from beside torch's own.

    Raises:
        InfeasibleError: it waits for the device, or does something else that can't be recorded.
    """
    graph = torch.cuda.CUDAGraph()
    if generator is not None:
        graph.register_generator_state(generator)
    try:
        with torch.cuda.graph(graph):
            returned = work()
    except RuntimeError as error:
        torch.cuda.synchronize()
        reason = str(error).splitlines()[0]
        raise InfeasibleError(
            f"a CUDA graph must hold this work but: {reason}; cuda_graph=off does without"
        ) from error
    return graph.replay, returned


class RecordedStep:
    """A step of training that is recorded when it is first taken.

    Args:
        step: reads its arguments where they are, and changes weights and moments in place.

    The first call raises `InfeasibleError` where the step can't be recorded.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._replay: Callable[[], None] | None = None

    def __call__(self, x: Tensor, y: Tensor, learning_rate: float) -> tuple[Tensor, Tensor]:
        """One step. The norm stays what it is until the next one alone."""
        if self._replay is None:
            return self._begin(x, y, learning_rate)
        for kept, new in zip(self._batch, (x, y), strict=True):
            kept.copy_(new)
        self._learning_rate.fill_(learning_rate)
        self._replay()
        return self._loss.clone(), self._norm

    def _begin(self, x: Tensor, y: Tensor, learning_rate: float) -> tuple[Tensor, Tensor]:
        """The first step, as Python takes it; then it is recorded for all that follow."""
        self._batch = (x.clone(), y.clone())
        self._learning_rate = torch.full((), learning_rate, device=x.device)
        take = partial(self._step, *self._batch, self._learning_rate)
        loss, norm = take()
        self._replay, (self._loss, self._norm) = record(take)
        return loss, norm
