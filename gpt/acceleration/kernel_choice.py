"""Which attention kernel is fastest here? Measured once for a machine and a shape, and remembered.

What decides is the time of a forward and a backward pass, in the precision and with the dropout of
the training to come. Kernels that can't run here, or are not right, take no part. Each round times
all kernels, in the reverse order of the round before, so that a change of the machine's speed hits
all of them; the median of a kernel's rounds counts. Memory is not considered.
"""

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache as remember
from functools import partial
from pathlib import Path

import torch
from filelock import FileLock

from gpt import attention
from gpt.acceleration.cuda_graph import capture
from gpt.acceleration.precision import computing_context
from gpt.attention import KERNELS, Kernel
from gpt.attention.verify import verify
from gpt.cache import cache_errors, entry, key_of
from gpt.device import device_name, synchronize
from gpt.errors import InfeasibleError
from gpt.rng import PrivateRandomState

CHOICE_FILE = "choice.json"

ROUNDS = 7
"""Measurements of each kernel, of which the median counts."""

ROUND_SECONDS = 0.02
"""What a measurement lasts at least: short passes are repeated in it."""

NOT_TRIED = {
    ("flex", "cpu"): "it compiles for seconds on the CPU, and has no backward pass there",
    ("flex", "cuda"): "it compiles for half a minute, and was slower (docs/speed-log.md)",
}
"""(kernel, device) -> why it is left out without asking."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """All that the answer depends on, beside the machine."""

    dtype: str
    """Of q, k and v, as in `TrainConfig.dtype`; float16 is under autocast, as in training."""

    B: int
    H: int
    T: int
    D: int
    scale: float
    dropout_p: float = 0.0

    captured: bool = False
    """Whether it will be part of a CUDA graph, where launching kernels takes hardly any time."""

    @property
    def torch_dtype(self) -> torch.dtype:
        """Of q, k and v."""
        found: torch.dtype = getattr(torch, self.dtype)
        return found


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The answer, with its reasons."""

    kernel: str
    """The fastest right kernel, by its name in `KERNELS`."""

    milliseconds: dict[str, float]
    """Median time of a forward and a backward pass of each kernel that was timed."""

    left_out: dict[str, str]
    """Why each of the others was not timed."""


def choose_kernel(question: Question, device: torch.device, *, cache: Path) -> Choice:
    """The fastest right kernel, from the cache if this machine was asked before.

    One process measures while others that ask the same wait for its answer.

    Raises:
        InfeasibleError: no kernel can do the job.
        MachineError: the cache can't be written.
    """
    key = key_of(
        asdict(question), device.type, device_name(device), torch.get_num_threads(),
        torch.__version__, _kernels_digest(),
    )  # fmt: skip
    folder = cache / "kernels" / key
    with cache_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)

    def write_down(made: Path) -> None:
        choice = measure(question, device)
        (made / CHOICE_FILE).write_text(json.dumps(asdict(choice), indent=1), "utf-8")

    with FileLock(folder.with_suffix(".lock")):
        entry(folder, write_down)
        return Choice(**json.loads((folder / CHOICE_FILE).read_bytes()))


@remember
def _kernels_digest() -> str:
    """Changes with the source of any kernel: a kernel that changed is measured anew."""
    digest = hashlib.sha256()
    folder = Path(attention.__file__).parent
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".cpp", ".h")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def measure(
    question: Question, device: torch.device, kernels: Mapping[str, Kernel] = KERNELS
) -> Choice:
    """Time every right kernel, and pick the fastest.

    Raises:
        InfeasibleError: none is there and right.
    """
    left_out = {
        name: reason
        for name, kernel in kernels.items()
        if (reason := _reason_against(kernel, question, device)) is not None
    }
    right = [kernel for name, kernel in kernels.items() if name not in left_out]
    with PrivateRandomState(device, seed=0):
        runs, refused = _ready(right, question, device)
        left_out |= refused
        if not runs:
            reasons = "; ".join(left_out.values())
            raise InfeasibleError(f"some attention kernel must run here but none does: {reasons}")
        seconds = _interleaved(runs, device)
    milliseconds = {name: 1000 * statistics.median(times) for name, times in seconds.items()}
    fastest = min(milliseconds, key=milliseconds.__getitem__)
    return Choice(kernel=fastest, milliseconds=milliseconds, left_out=left_out)


def _reason_against(kernel: Kernel, question: Question, device: torch.device) -> str | None:
    """Why a kernel must not be timed; None: it is there and right."""
    if (reason := NOT_TRIED.get((kernel.name, device.type))) is not None:
        return reason
    dtype, H, T, D = question.torch_dtype, question.H, question.T, question.D
    if question.captured and question.dropout_p > 0 and kernel.seeds_dropout:
        return f"a CUDA graph of {kernel.name} would drop the same at each launch"
    reason = kernel.unavailable(device, dtype, head_size=D, dropout_p=question.dropout_p)
    if reason is not None:
        return reason
    B = min(question.B, 2)  # sequences are independent: two show all that many would
    with computing_context(question.dtype, device):
        return verify(kernel, device, dtype, B=B, H=H, T=T, D=D, scale=question.scale).reason


Run = Callable[[], None]
"""A forward and a backward pass."""


def _ready(
    kernels: list[Kernel], question: Question, device: torch.device
) -> tuple[dict[str, Run], dict[str, str]]:
    """Each kernel's run, captured where the question says so; why others can't be."""
    shape, dtype = (question.B, question.T, question.H, question.D), question.torch_dtype
    q, k, v, grad_out = (
        torch.randn(shape, device=device, dtype=dtype).transpose(1, 2) for _ in range(4)
    )  # (B, H, T, D)
    for x in (q, k, v):
        x.requires_grad_()

    def both_ways(kernel: Kernel) -> None:
        with computing_context(question.dtype, device):
            out = kernel.attend(q, k, v, scale=question.scale, dropout_p=question.dropout_p)
        torch.autograd.grad(out, (q, k, v), grad_out.to(out.dtype))

    runs: dict[str, Run] = {kernel.name: partial(both_ways, kernel) for kernel in kernels}
    if not question.captured:
        return runs, {}
    pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None
    captured, refused = {}, {}
    for name, run in runs.items():
        run()
        try:
            captured[name], _ = capture(run, pool=pool)
        except InfeasibleError as error:
            refused[name] = str(error)
    return captured, refused


def _interleaved(runs: Mapping[str, Run], device: torch.device) -> dict[str, list[float]]:
    """Seconds of each run, by kernel, a number for each round."""

    def seconds_of(run: Run, n: int) -> float:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(n):
            run()
        synchronize(device)
        return (time.perf_counter() - start) / n

    repeats = {}
    for name, run in runs.items():
        warm = min(seconds_of(run, 1) for _ in range(2))
        repeats[name] = max(1, round(ROUND_SECONDS / warm))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(ROUNDS):
        for name in list(runs)[:: 1 if round_ % 2 == 0 else -1]:
            seconds[name].append(seconds_of(runs[name], repeats[name]))
    return seconds
