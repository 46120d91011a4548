"""The optimizer and the schedule of its learning rate."""

import math

import torch
from torch import nn

from gpt.config import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW over the model's parameters, matrices decayed and (unless `decay_all`) vectors not.

    The embeddings count as matrices, as in nanoGPT.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim >= 2 or config.decay_all]
    spared = [p for p in parameters if p.ndim < 2 and not config.decay_all]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
    )


def learning_rate_at(config: OptimizerConfig, progress: float) -> float:
    """The learning rate of a step that starts when `progress` in [0, 1] of the budget is spent.

    The warm-up starts at 1/101 of the peak, so that the first step moves: with a warm-up of 100
    steps this is nanoGPT's rule, step for step.
    """
    peak, warmup = config.learning_rate, config.warmup_fraction
    if progress < warmup:
        return peak * (progress + warmup / 100) / (warmup + warmup / 100)
    if config.schedule == "constant":
        return peak
    decay = min(1.0, (progress - warmup) / (1 - warmup))
    left = 1 - decay if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * decay))
    floor = peak * config.final_fraction
    return floor + left * (peak - floor)
