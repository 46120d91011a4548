"""How the weights are updated."""

from dataclasses import dataclass
from typing import Literal

from gpt.config import check

OptimizerKind = Literal["adamw", "muon"]
Schedule = Literal["constant", "cosine", "linear"]


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The update rule and the schedule of its learning rate. Fractions are of the run's budget."""

    kind: OptimizerKind = "adamw"
    """`adamw` for all weights; or `muon` for the matrices of the blocks and AdamW for the rest.
    Muon's products are in bfloat16 where the run's `dtype` is, else in float32."""

    learning_rate: float = 1e-3
    """Peak learning rate."""

    adamw_multiplier: float = 1.0
    """With `muon`: AdamW's learning rate for the other weights, as a multiple of Muon's."""

    muon_iterations: int = 3
    """With `muon`: iterations that make an update orthogonal. More take longer, and raise the
    smallest singular values, which in a small batch are mostly noise."""

    fused: bool = False
    """Whether AdamW updates all weights by one kernel, instead of a pass for each operation."""

    schedule: Schedule = "cosine"
    """What follows the warm-up: nothing, or decay to `final_fraction` of the peak."""

    warmup_fraction: float = 0.05
    """Share of the budget over which the rate rises linearly from near zero."""

    final_fraction: float = 0.1
    """The rate at the end, as a share of the peak."""

    weight_decay: float = 0.1
    """Decoupled decay, on matrices alone unless `decay_all`."""

    decay_all: bool = False
    """Decay vectors and norms too, as torch's AdamW does by default (the originals)."""

    beta1: float = 0.9
    """Decay of the first moment."""

    beta2: float = 0.99
    """Decay of the second moment."""

    grad_clip: float = 1.0
    """Largest norm of the whole gradient; 0: no clipping."""

    def __post_init__(self) -> None:
        check.field_types(self)
        check.within(0.0, 1.0, self, "warmup_fraction", "beta1", "beta2")
        check.at_least(0, self, "learning_rate", "adamw_multiplier", "final_fraction")
        check.at_least(0, self, "weight_decay", "grad_clip")
        check.at_least(1, self, "muon_iterations")

    def canonical(self) -> "OptimizerConfig":
        """The same optimizer without the fields that its kind and schedule ignore, for keys."""
        return check.changed(
            self,
            adamw_multiplier=self.adamw_multiplier if self.kind == "muon" else 1.0,
            muon_iterations=self.muon_iterations if self.kind == "muon" else 3,
            decay_all=self.decay_all and self.kind == "adamw",
            final_fraction=0.1 if self.schedule == "constant" else self.final_fraction,
        )
