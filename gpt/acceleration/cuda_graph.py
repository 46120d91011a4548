"""CUDA graphs: work whose kernels are captured once, and then launched all together.

Python takes some 10 µs to launch a kernel, and a small model's kernels take less: without a graph,
the device waits for Python most of the time. A graph is launched as one
(https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs/). It reads and writes the same
memory each time, so what changes from one launch to the next is copied in. torch's own
`make_graphed_callables` would leave the optimizer's dozens of kernels to Python.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from gpt.errors import InfeasibleError

T = TypeVar("T")

Step = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""x and y (B, T) and a learning rate () -> loss () and norm of the gradient ()."""


def capture(
    work: Callable[[], T],
    *,
    generator: torch.Generator | None = None,
    pool: Any = None,
) -> tuple[Callable[[], None], T]:
    """Capture work without computing it. Returns what launches it, and what the work returned.

    The work must have run once before, so that libraries and optimizers have set themselves up.

    Args:
        generator: of the device, that the work draws from beside torch's own.
        pool: of memory, from `torch.cuda.graph_pool_handle`, for graphs whose results nobody
            reads after the launch of another; None: a pool of its own.

    Raises:
        InfeasibleError: it waits for the device, or does something else that can't be captured.
    """
    graph = torch.cuda.CUDAGraph()
    if generator is not None:
        graph.register_generator_state(generator)
    before = torch.cuda.current_stream()
    try:
        with torch.cuda.graph(graph, pool=pool):
            returned = work()
    except RuntimeError as error:
        torch.cuda.set_stream(before)  # where a capture that fails does not return to
        cause: BaseException = error
        while cause.__context__ is not None:
            cause = cause.__context__
        if isinstance(cause, torch.OutOfMemoryError):
            raise cause from None
        reason = str(cause).splitlines()[0]
        raise InfeasibleError(
            f"this work can't be captured in a CUDA graph: {reason}; set cuda_graph=off"
        ) from error
    return graph.replay, returned


class Captured(Generic[T]):
    """Work that is done as Python does it when it is first called, then captured and launched.

    What it returns is overwritten by the next launch. The first call raises `InfeasibleError`
    where the work can't be captured.
    """

    def __init__(self, work: Callable[[], T], generator: torch.Generator | None = None) -> None:
        self._work, self._generator = work, generator
        self._replay: Callable[[], None] | None = None

    def __call__(self) -> T:
        if self._replay is None:
            returned = self._work()
            self._replay, self._returned = capture(self._work, generator=self._generator)
            return returned
        self._replay()
        return self._returned


class CapturedStep:
    """A step of training that is captured when it is first taken.

    Args:
        step: reads its arguments where they are, and changes weights and moments in place.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._launch: Captured[tuple[Tensor, Tensor]] | None = None

    def __call__(self, x: Tensor, y: Tensor, learning_rate: float) -> tuple[Tensor, Tensor]:
        """One step. The next step overwrites the returned norm; copy it to keep it."""
        if self._launch is None:
            self._x, self._y = torch.empty_like(x), torch.empty_like(y)
            self._learning_rate = torch.empty((), device=x.device)
            self._launch = Captured(partial(self._step, self._x, self._y, self._learning_rate))
        self._x.copy_(x)
        self._y.copy_(y)
        self._learning_rate.fill_(learning_rate)
        loss, norm = self._launch()
        return loss.clone(), norm
