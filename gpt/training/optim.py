"""Which optimizer updates which weights?

AdamW for everything; or Muon for the matrices inside the blocks, where it needs far fewer steps,
and AdamW for embeddings, head and vectors.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gpt.config import OptimizerConfig
from gpt.training.muon import Muon


def build_optimizers(
    model: nn.Module,
    config: OptimizerConfig,
    *,
    dtype: torch.dtype = torch.float32,
    captured: bool = False,
) -> list[torch.optim.Optimizer]:
    """Optimizers that together hold each parameter of the model once.

    With AdamW, matrices are decayed (embeddings too, as in nanoGPT), and vectors only if
    `decay_all`. Muon decays its matrices.

    Args:
        dtype: that the run computes in. Muon multiplies in it if it is bfloat16, and else in the
            weights' float32: the range of float16 is too small for a gradient.
        captured: whether their steps go into a CUDA graph, which can't read the CPU's memory.
    """
    parameters = dict(model.named_parameters())
    if config.kind == "adamw":
        decayed = [p for p in parameters.values() if p.ndim >= 2 or config.decay_all]
        spared = [p for p in parameters.values() if p.ndim < 2 and not config.decay_all]
        return [_adamw(config, decayed, spared, captured=captured)]
    hidden = matrices_for_muon(model)
    others = [p for name, p in parameters.items() if name not in hidden]
    muon = Muon(
        [{"params": list(hidden.values()), "multiplier": 1.0}],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        product_dtype=torch.bfloat16 if dtype is torch.bfloat16 else None,
        n_iterations=config.muon_iterations,
    )
    adamw = _adamw(config, [], others, multiplier=config.adamw_multiplier, captured=captured)
    return [muon, adamw]


def matrices_for_muon(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that Muon updates, by name: the matrices inside the blocks."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if name.startswith("blocks.") and parameter.ndim == 2
    }


def _adamw(
    config: OptimizerConfig,
    decayed: list[nn.Parameter],
    spared: list[nn.Parameter],
    *,
    multiplier: float = 1.0,
    captured: bool,
) -> torch.optim.AdamW:
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay, "multiplier": multiplier},
        {"params": spared, "weight_decay": 0.0, "multiplier": multiplier},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        fused=config.fused or None,
        capturable=captured,
    )


def set_learning_rate(optimizers: Iterable[torch.optim.Optimizer], rate: float | Tensor) -> None:
    """Set the rate of every group, a number or (), each times its own multiplier."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["multiplier"]
