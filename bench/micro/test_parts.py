"""What do the other parts of a training step cost: loss head, norm, activation, optimizer?

At the shape of the preset `nanogpt`: 12 sequences of 64 tokens, 128 channels. Each part is checked
against itself in float64 before it is timed.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.micro import accounting
from bench.micro.accounting import Work
from bench.micro.checks import Compute, disagreement
from bench.micro.fixture import Place, Timed
from bench.micro.stopwatch import Subject
from gpt.config import ModelConfig
from gpt.config.model import Activation
from gpt.config.optimizer import OptimizerKind
from gpt.model.gpt import build_model
from gpt.model.layers import ACTIVATIONS, make_norm
from gpt.model.loss import chunked_cross_entropy, cross_entropy
from gpt.presets import NANOGPT
from gpt.training.muon import Muon
from gpt.training.optim import build_optimizers

MODEL, OPTIMIZER = NANOGPT.model, NANOGPT.optimizer
N, C = NANOGPT.train.batch_size * MODEL.block_size, MODEL.n_embd
VOCABULARIES = (65, 512, 4096)
UPDATE_SLACK = {torch.float32: 1000, torch.bfloat16: 1}
"""An update is a small difference of weights, so the rounding of float32 weighs a thousandfold.
That of bfloat16 is larger still."""

Function = Callable[..., Tensor]


def numbers(place: Place, *shapes: tuple[int, ...]) -> list[Tensor]:
    """Normal numbers, rounded to the place's precision."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(s, generator=generator).to(place.device, place.dtype) for s in shapes]


def forward_backward(function: Function, inputs: list[Tensor], grad_out: Tensor) -> Compute:
    """The function's result and the gradients of its inputs, in a dtype."""

    def compute(dtype: torch.dtype) -> list[Tensor]:
        typed = [x.to(dtype).detach().requires_grad_() for x in inputs]
        out = function(*typed)
        return [out.detach(), *torch.autograd.grad(out, typed, grad_out.to(out.dtype))]

    return compute


def time_part(
    timed: Timed,
    subject: Subject,
    work: Work,
    place: Place,
    compute: Compute,
    reference: Compute | None = None,
) -> None:
    """Check it, then time it."""
    if (reason := disagreement(compute, place.dtype, reference=reference)) is not None:
        timed.refuse_wrong(subject, reason)
    timed(lambda: compute(place.dtype), subject, work, place.device, place.dtype)


def plain(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(F.linear(x, weight), targets, "mean")  # (N, C) -> (N, V) -> ()


def chunked(x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return chunked_cross_entropy(x, weight, None, targets, "mean")


@pytest.mark.parametrize("head", [plain, chunked], ids=lambda head: head.__name__)
@pytest.mark.parametrize("V", VOCABULARIES, ids="V{}".format)
def test_loss_head(head: Function, V: int, place: Place, timed: Timed) -> None:
    """Logits and cross-entropy."""
    x, weight = numbers(place, (N, C), (V, C))
    weight *= C**-0.5  # logits of unit variance
    targets = torch.randint(V, (N,), generator=torch.Generator().manual_seed(0)).to(place.device)
    ones = torch.ones((), device=place.device)

    def exact(x: Tensor, weight: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(x, weight), targets)

    series = f"loss head forward + backward, {place.dtype_name}, V = {V}"
    subject = Subject(series=series, name=head.__name__)
    work = accounting.loss_head(N, C, V, place.dtype.itemsize)
    compute = forward_backward(lambda x, w: head(x, w, targets), [x, weight], ones)
    reference = forward_backward(exact, [x, weight], ones)
    time_part(timed, subject, work, place, compute, reference)


@pytest.mark.parametrize("name", ["layernorm", "rmsnorm"])
def test_norm(name: str, place: Place, timed: Timed) -> None:
    norm = make_norm(ModelConfig(n_embd=C, norm=name)).to(place.device)  # type: ignore[arg-type]
    x, weight, grad_out = numbers(place, (N, C), (C,), (N, C))

    def normalise(x: Tensor, weight: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(norm, {"weight": weight}, (x,))
        return out

    subject = Subject(series=f"norm forward + backward, {place.dtype_name}", name=name)
    work = accounting.norm(name, N, C, place.dtype.itemsize)
    time_part(timed, subject, work, place, forward_backward(normalise, [x, weight], grad_out))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: Activation, place: Place, timed: Timed) -> None:
    """Of the MLP's hidden layer, 4 C wide."""
    x, grad_out = numbers(place, (N, 4 * C), (N, 4 * C))
    subject = Subject(series=f"activation forward + backward, {place.dtype_name}", name=name)
    work = accounting.activation(name, x.numel(), place.dtype.itemsize)
    time_part(timed, subject, work, place, forward_backward(ACTIVATIONS[name], [x], grad_out))


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_optimizer_step(kind: OptimizerKind, place: Place, timed: Timed) -> None:
    """Of the whole model: its weights are float32, Muon's products in the place's precision."""
    if place.dtype != torch.float32 and (kind, place.dtype) != ("muon", torch.bfloat16):
        pytest.skip(f"{kind} computes nothing in {place.dtype_name}")
    torch.manual_seed(0)
    model = build_model(MODEL, vocab_size=65).to(place.device)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    config = replace(OPTIMIZER, kind=kind)

    def step(dtype: torch.dtype) -> list[Tensor]:
        """What one step adds to every weight."""
        other = deepcopy(model).to(torch.promote_types(dtype, torch.float32))
        for parameter, source in zip(other.parameters(), model.parameters(), strict=True):
            parameter.grad = source.grad.to(parameter.dtype) if source.grad is not None else None
        before = [p.detach().double().clone() for p in other.parameters()]
        for optimizer in build_optimizers(other, config, dtype=dtype):
            optimizer.step()
        after = (p.detach().double() for p in other.parameters())
        return [a - b for a, b in zip(after, before, strict=True)]

    subject = Subject(series=f"optimizer step, {place.dtype_name}", name=kind)
    if (reason := disagreement(step, place.dtype, slack=UPDATE_SLACK[place.dtype])) is not None:
        timed.refuse_wrong(subject, reason)
    optimizers = build_optimizers(model, config, dtype=place.dtype)
    work = _optimizer_work(optimizers)
    timed(lambda: [o.step() for o in optimizers], subject, work, place.device, place.dtype)


def _optimizer_work(optimizers: Iterable[torch.optim.Optimizer]) -> Work:
    flops = n_bytes = 0
    for optimizer in optimizers:
        params = [p for group in optimizer.param_groups for p in group["params"]]
        if isinstance(optimizer, Muon):
            shapes = ((p.shape[0], p.shape[1]) for p in params)
            part = accounting.muon(shapes, optimizer.n_iterations)
        else:
            part = accounting.adamw(sum(p.numel() for p in params))
        flops, n_bytes = flops + part.flops, n_bytes + part.bytes
    return Work(flops, n_bytes)
