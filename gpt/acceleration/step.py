"""One step of training: gradients of a batch, then the update of the weights.

Everything that makes a step fast sits in this package, behind this seam, and the model knows
nothing of it: the bfloat16 copy (`precision`), compiled gradients (`compiled`), CUDA graphs
(`cuda_graph`) and fused updates (`update`). The training loop takes its steps here, and whoever
times a step or its parts takes model, precision and update from here too, so that nobody times
another step than the one that trains.
"""

import torch
from torch import Tensor

from gpt.acceleration.cuda_graph import CapturedStep
from gpt.acceleration.update import Update
from gpt.training.setup import Setup


class Step:
    """The step of a run.

    Args:
        setup: whose model is trained in place; its `precision` is shared with other steps and
            with evaluations.
    """

    def __init__(self, setup: Setup) -> None:
        config = setup.config
        captured = config.train.cuda_graph == "on"
        self.precision = setup.precision
        self.update = Update(setup.model, self.precision, config.optimizer, captured=captured)
        self._micro_batch_size = config.train.micro_batch_size
        self._captured = CapturedStep() if captured else None

    def __call__(self, x: Tensor, y: Tensor, learning_rate: float) -> tuple[Tensor, Tensor]:
        """Train on a batch (B, T); returns its loss () and the gradient's norm ().

        The next step may overwrite the norm; copy it to keep it.
        """
        if self._captured is None:
            return self._take(x, y, learning_rate)
        return self._captured(self._take, x, y, learning_rate)

    def rehearse(self, x: Tensor, y: Tensor) -> None:
        """Compile, where the config says so, for a batch (B, T) and for all parts of it.

        Raises:
            InfeasibleError, UnsoundError: as `Precision.rehearse`.
        """
        parts = zip(self._split(x), self._split(y), strict=True)
        for part_x, part_y in {len(x): (x, y) for x, y in parts}.values():
            self.precision.rehearse(part_x, part_y)

    def _take(self, x: Tensor, y: Tensor, learning_rate: float | Tensor) -> tuple[Tensor, Tensor]:
        loss = self._gradients(x, y)
        return loss, self.update.step(learning_rate)

    def _gradients(self, x: Tensor, y: Tensor) -> Tensor:
        """The gradients of a batch (B, T), a few sequences at a time; returns its loss."""
        total = torch.zeros((), device=x.device)
        for part_x, part_y in zip(self._split(x), self._split(y), strict=True):
            total += self.precision.backward(part_x, part_y, share=len(part_x) / len(x))
            self.update.collect_gradients()
        return total

    def _split(self, batch: Tensor) -> tuple[Tensor, ...]:
        """A batch (B, T) in the parts that are computed at a time."""
        return torch.split(batch, self._micro_batch_size or len(batch))
