"""From gradients to weights: the gradients are clipped, the weights move, their copy follows.

`Update` does it with torch's optimizers, on any device. `NativeUpdate` does the same in one pass
over what belongs to each weight, in C++: for a small model on a CPU a step's dozen passes over
weights and moments are a tenth of its time.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from gpt.config import OptimizerConfig
from gpt.model import LanguageModel
from gpt.muon import MARGIN, Muon, approach_orthogonal, size_of_update
from gpt.native.library import takes
from gpt.native.update import NativeAdamW, NativeMomenta, norm_of_all
from gpt.optim import build_optimizers, set_learning_rate
from gpt.precision import Precision


class Update:
    """A step of the weights by torch's optimizers.

    Args:
        model: the weights.
        precision: who has their gradients.
        recorded: whether its steps go into a CUDA graph; the learning rate is then a tensor.
    """

    def __init__(
        self,
        model: LanguageModel,
        precision: Precision,
        config: OptimizerConfig,
        *,
        recorded: bool = False,
    ) -> None:
        self.precision = precision
        self.weights = list(model.parameters())
        self.largest_norm = config.grad_clip or math.inf
        self.optimizers = build_optimizers(model, config, recorded=recorded)
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


class NativeUpdate(Update):
    """The same in C++, from the gradients of one backward pass, as its bfloat16 copy got them."""

    def __init__(
        self, model: LanguageModel, precision: Precision, config: OptimizerConfig
    ) -> None:
        super().__init__(model, precision, config)
        self.copies = list(precision.model.parameters())
        copy_of: dict[Tensor, Tensor] = dict(zip(self.weights, self.copies, strict=True))
        self.moves = [
            move
            for optimizer in self.optimizers
            for group in optimizer.param_groups
            for move in _moves(optimizer, group, copy_of)
        ]

    def collect_gradients(self) -> None:
        """They stay where they are."""

    def step(self, learning_rate: float | Tensor) -> Tensor:
        set_learning_rate(self.optimizers, learning_rate)
        gradients = (copy.grad for copy in self.copies)
        norm = norm_of_all([gradient for gradient in gradients if gradient is not None])
        clip = min(1.0, self.largest_norm / (norm.item() + 1e-6))
        for move in self.moves:
            move(clip)
        for copy in self.copies:
            copy.grad = None
        return norm


def make_update(
    model: LanguageModel,
    precision: Precision,
    config: OptimizerConfig,
    *,
    n_passes: int,
    recorded: bool = False,
) -> Update:
    """The fastest update that does what the config says.

    Args:
        n_passes: backward passes of a step. The gradients of several are summed in float32.
        recorded: whether its steps go into a CUDA graph.
    """
    if config.fused and n_passes == 1 and takes(next(precision.model.parameters())):
        return NativeUpdate(model, precision, config)
    return Update(model, precision, config, recorded=recorded)


Move = Callable[[float], None]
"""Moves some weights; takes the factor that their gradients still lack."""


def _moves(
    optimizer: torch.optim.Optimizer, group: dict[str, Any], copy_of: dict[Tensor, Tensor]
) -> Iterator[Move]:
    """What `optimizer.step` does to one of its groups."""
    if not isinstance(optimizer, Muon):
        yield _adamw(group["params"], [copy_of[weight] for weight in group["params"]], group)
        return
    alike: defaultdict[tuple[int, ...], list[Tensor]] = defaultdict(list)
    for weight in group["params"]:
        alike[tuple(sorted(weight.shape))].append(weight)
    for weights in alike.values():
        yield _muon(weights, [copy_of[weight] for weight in weights], group)


def _adamw(weights: Sequence[Tensor], copies: Sequence[Tensor], group: dict[str, Any]) -> Move:
    native = NativeAdamW(weights, copies)

    def move(clip: float) -> None:
        settings = {name: group[name] for name in ("lr", "weight_decay", "betas", "eps")}
        native.step([copy.grad for copy in copies], clip=clip, **settings)

    return move


def _muon(weights: Sequence[Tensor], copies: Sequence[Tensor], group: dict[str, Any]) -> Move:
    native = NativeMomenta(weights, copies)

    def move(clip: float) -> None:
        gradients = [copy.grad for copy in copies if copy.grad is not None]
        ahead = native.look_ahead(gradients, clip=clip, momentum=group["momentum"], margin=MARGIN)
        updates = approach_orthogonal(ahead, group["n_iterations"])
        native.move(
            updates,
            lr=group["lr"] * size_of_update(weights[0]),
            shrink=1 - group["lr"] * group["weight_decay"],
        )

    return move
