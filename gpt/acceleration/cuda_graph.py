"""CUDA graphs: work whose kernels are captured once, and then launched all together.

Python takes some 10 µs to launch a kernel, and a small model's kernels are over in less: run
plainly, the device waits for Python most of the time. A graph is launched as one
(https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs/). It reads and writes the same
memory each time, so what changes from one launch to the next is copied in.

Left out on purpose: torch's own `make_graphed_callables`, which captures a forward and a backward
pass, and leaves the optimizer's dozens of kernels to Python.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

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
    """What launches the captured work again, and what the work returned: nothing is computed yet.

    The work must have run before: what libraries and optimizers make ready is no part of it.

    Args:
        generator: of the device, that the work draws from beside torch's own.
        pool: of memory, from `torch.cuda.graph_pool_handle`, for graphs whose results nobody
            reads after another's launch; None: its own.

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
            f"a CUDA graph must hold this work but: {reason}; cuda_graph=off does without"
        ) from error
    return graph.replay, returned


class CapturedStep:
    """A step of training that is captured when it is first taken.

    That call raises `InfeasibleError` where it can't be.
    """

    def __init__(self) -> None:
        self._replay: Callable[[], None] | None = None

    def __call__(
        self, step: Step, x: Tensor, y: Tensor, learning_rate: float
    ) -> tuple[Tensor, Tensor]:
        """One step. The next step overwrites the returned norm; copy it to keep it.

        Args:
            step: reads its arguments where they are, and changes weights and moments in place; the
                same one each time.
        """
        if self._replay is None:
            return self._begin(step, x, y, learning_rate)
        for kept, new in zip(self._batch, (x, y), strict=True):
            kept.copy_(new)
        self._learning_rate.fill_(learning_rate)
        self._replay()
        return self._loss.clone(), self._norm

    def _begin(
        self, step: Step, x: Tensor, y: Tensor, learning_rate: float
    ) -> tuple[Tensor, Tensor]:
        """The first step, as Python takes it; then it is captured for all that follow."""
        self._batch = (x.clone(), y.clone())
        self._learning_rate = torch.full((), learning_rate, device=x.device)
        take = partial(step, *self._batch, self._learning_rate)
        loss, norm = take()
        self._replay, (self._loss, self._norm) = capture(take)
        return loss, norm
