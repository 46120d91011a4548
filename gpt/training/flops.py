"""How many floating-point operations does a training step take? One count for all who ask.

The count is that of `torch.utils.flop_counter`: the matrix products of the model, forward and
backward, and of the optimizer (Muon multiplies matrices, AdamW none). Elementwise operations are
left out, and so is whatever an implementation computes twice.
"""

from gpt.config import OptimizerConfig, RunConfig
from gpt.model.gpt import LanguageModel
from gpt.training.muon import product_flops
from gpt.training.optim import matrices_for_muon


def flops_per_step(model: LanguageModel, config: RunConfig, *, context: int | None = None) -> int:
    """Floating-point operations of a step of training `model`.

    Args:
        config: settled, with its block size in tokens.
        context: tokens that attention is counted over; None: the whole block.
    """
    tokens = config.train.batch_size * config.model.block_size
    of_a_token = model.flops_per_token(config.model.block_size if context is None else context)
    return tokens * of_a_token + optimizer_flops(model, config.optimizer)


def optimizer_flops(model: LanguageModel, config: OptimizerConfig) -> int:
    """Of the optimizer's own products in a step, however many tokens the step saw."""
    if config.kind == "adamw":
        return 0
    shapes = (matrix.shape for matrix in matrices_for_muon(model).values())
    return sum(product_flops((rows, columns), config.muon_iterations) for rows, columns in shapes)
