"""One step of training: gradients of a batch, then the update of the weights.

Everything that makes a step fast sits in this package, behind this seam, and the model knows
nothing of it: the bfloat16 copy (`precision`), compiled gradients (`compiled`) and CUDA graphs
(`cuda_graph`). The training loop takes its steps here, and whoever times a step or its parts takes
model, precision and update from here too, so that nobody times another step than the one that
trains.
"""

import math

import torch
from torch import Tensor

from gpt.acceleration.cuda_graph import CapturedStep
from gpt.acceleration.precision import Precision
from gpt.config import OptimizerConfig
from gpt.model.gpt import LanguageModel
from gpt.training.optim import build_optimizers, set_learning_rate
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
        self._captured = CapturedStep(self._take) if captured else None

    def __call__(self, x: Tensor, y: Tensor, learning_rate: float) -> tuple[Tensor, Tensor]:
        """Train on a batch (B, T); returns its loss () and the gradient's norm ().

        The next step may overwrite the norm; copy it to keep it.
        """
        return (self._captured or self._take)(x, y, learning_rate)

    def rehearse(self, x: Tensor, y: Tensor) -> None:
        """Compile, where the config says so, for a batch (B, T) and for all parts of it.

        Raises:
            InfeasibleError, UnsoundError: as `Precision.rehearse`.
        """
        parts = zip(self._split(x), self._split(y), strict=True)
        for part_x, part_y in {len(x): (x, y) for x, y in parts}.values():
            self.precision.rehearse(part_x, part_y)

    def _take(self, x: Tensor, y: Tensor, learning_rate: float | Tensor) -> tuple[Tensor, Tensor]:
        loss = torch.zeros((), device=x.device)
        for part_x, part_y in zip(self._split(x), self._split(y), strict=True):
            loss += self.precision.backward(part_x, part_y, share=len(part_x) / len(x))
            self.precision.collect_gradients()
        return loss, self.update.step(learning_rate)

    def _split(self, batch: Tensor) -> tuple[Tensor, ...]:
        """A batch (B, T) in the parts that are computed at a time."""
        return torch.split(batch, self._micro_batch_size or len(batch))


class Update:
    """From gradients to weights: the gradients are clipped, the weights move, their copy follows.

    Args:
        model: the weights.
        precision: who has their gradients.
        captured: whether its steps go into a CUDA graph; the learning rate is then a tensor.
    """

    def __init__(
        self,
        model: LanguageModel,
        precision: Precision,
        config: OptimizerConfig,
        *,
        captured: bool = False,
    ) -> None:
        self.precision = precision
        self.weights = list(model.parameters())
        self.largest_norm = config.grad_clip or math.inf
        self.optimizers = build_optimizers(model, config, dtype=precision.dtype, captured=captured)
        precision.refresh()

    def step(self, learning_rate: float | Tensor) -> Tensor:
        """Move the weights and forget their gradients; returns those' norm () before clipping."""
        set_learning_rate(self.optimizers, learning_rate)
        scaler = self.precision.scaler
        for optimizer in self.optimizers:
            scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.largest_norm)
        for optimizer in self.optimizers:
            scaler.step(optimizer)
        scaler.update()
        self.precision.refresh()
        for weight in self.weights:
            weight.grad = None
        return norm
