"""From gradients to weights: the gradients are clipped, the weights move, their copy follows."""

import math

import torch
from torch import Tensor

from gpt.acceleration.precision import Precision
from gpt.config import OptimizerConfig
from gpt.model.gpt import LanguageModel
from gpt.training.optim import build_optimizers, set_learning_rate


class Update:
    """A step of the weights by torch's optimizers.

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

    def collect_gradients(self) -> None:
        """Take what a backward pass gave; those of several passes are summed."""
        self.precision.collect_gradients()

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
