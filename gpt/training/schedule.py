"""What is the learning rate when a share of the budget is spent? Warm-up, then decay."""

import math

from gpt.config import OptimizerConfig


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
