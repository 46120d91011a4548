"""How long, how wide, where, and how often to look."""

import math
from dataclasses import dataclass, field, fields
from typing import Literal

from gpt.config import check
from gpt.errors import ConfigError

Device = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["float32", "bfloat16", "float16", "auto"]
CudaGraph = Literal["on", "off", "auto"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much training a run gets, in exactly one unit: `Budget(steps=2000)`."""

    steps: int | None = None
    """Optimizer steps."""

    tokens: int | None = None
    """Training tokens."""

    bytes: int | None = None
    """Bytes of training text, by the tokenizer's average over the training part."""

    flops: float | None = None
    """Floating-point operations of the matrix products: the model's, forward and backward, and
    the optimizer's."""

    seconds: float | None = None
    """Seconds of training steps; evaluation and logging don't count."""

    def __post_init__(self) -> None:
        check.field_types(self)
        given = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        if len(given) != 1:
            raise ConfigError(
                "a budget must be given in exactly one of steps, tokens, bytes, flops or seconds "
                f"but got {', '.join(given) or 'none'}"
            )
        if not 0 < self.amount < math.inf:
            raise ConfigError(f"a budget must be positive and finite but got {self}")

    @property
    def unit(self) -> str:
        """The one field that is set."""
        return next(f.name for f in fields(self) if getattr(self, f.name) is not None)

    @property
    def amount(self) -> float:
        """Its value."""
        value: float = getattr(self, self.unit)
        return value

    def __str__(self) -> str:
        return f"{self.amount:,g} {self.unit}"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The training loop: budget, batch, evaluation, seed, device and precision."""

    budget: Budget = field(default_factory=lambda: Budget(steps=2000))
    """When to stop."""

    target_loss: float | None = None
    """Stop before the budget is spent, at the first evaluation whose loss, in nats per token, is
    this or less."""

    batch_size: int = 12
    """Sequences B in a step."""

    micro_batch_size: int | None = None
    """Sequences computed at a time, their gradients summed before the step; fewer need less
    memory. None: the whole batch."""

    seed: int = 0
    """Seeds the initial weights, the order of the data and dropout."""

    device: Device = "auto"
    """`auto` takes CUDA, then MPS, then the CPU; the others are never replaced by another."""

    dtype: Dtype = "float32"
    """Precision of the computation (`gpt.acceleration.precision`); the weights stay in float32.
    `auto` is bfloat16 where the device multiplies it faster, else float32."""

    compile: bool = False
    """Compile loss and gradients (`gpt.acceleration.compiled`). It takes seconds, which count as
    training, and needs a C++ compiler on a CPU."""

    cuda_graph: CudaGraph = "off"
    """Capture the kernels of a step once, as part of the warm-up, and launch them together from
    then on (`gpt.acceleration.cuda_graph`); those of a sampled token too. `auto` does so on CUDA,
    except in float16 and for dropout by the kernel `online`."""

    log_interval: int = 10
    """Steps between two points of the training curve."""

    evaluations: int = 10
    """Evaluations, spread evenly over the budget. The last is at its end, and over the whole
    validation text: it gives the final numbers."""

    val_part_bytes: int | None = 6000
    """Bytes of the validation text, about, that each evaluation reads for the curve: the same ones
    whatever the tokenizer (`Corpus.excerpt`), or all where there are no more. None, and wherever
    there is a `target_loss`: each evaluation reads the whole validation text, and no part."""

    eval_stride: int | None = None
    """Tokens by which the evaluation's window moves; each token is predicted once, with at least
    block_size − stride tokens before it. None: block_size, windows side by side."""

    estimate_batches: int = 0
    """Random batches of each split for the originals' noisy `estimate_loss`, at each evaluation; 0
    leaves it out."""

    measure_test: bool = False
    """Measure the trained model on the corpus's test part too. For a sweep's winner alone: what a
    sweep chooses by is no test any more."""

    sample_tokens: int = 100
    """Length of the text sampled at the end."""

    def __post_init__(self) -> None:
        check.field_types(self)
        check.at_least(1, self, "batch_size", "micro_batch_size", "log_interval", "evaluations")
        check.at_least(0, self, "seed", "target_loss", "estimate_batches", "sample_tokens")
        check.at_least(1, self, "eval_stride")
        check.at_least(64, self, "val_part_bytes")

    def canonical(self) -> "TrainConfig":
        """The same training without what it ignores: a target asks for the whole text."""
        whole = self.target_loss is not None
        return check.changed(self, val_part_bytes=None if whole else self.val_part_bytes)
