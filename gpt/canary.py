"""May this run be trusted? Asked on the very device, precision and shape, before it trains.

Three questions: is its attention kernel right (`gpt.attention.verify`); does a changed token
move no prediction before it, in the whole model; and is the first gradient finite? The model of
the second question has the run's config but plain random weights: one whose projections start at
zero does not look at its context yet, and would pass however much it leaked.
"""

import dataclasses

import torch

from gpt.attention import KERNELS
from gpt.attention.verify import verify
from gpt.data import sample_batch
from gpt.errors import UnsoundError
from gpt.heads import attention_scale
from gpt.model import build_model
from gpt.precision import Precision
from gpt.setup import Setup

SEQUENCES = 2
"""Enough to show a leak, also one between sequences."""


def check_canary(setup: Setup) -> None:
    """Raise `UnsoundError`, with what was found, unless the run may be trusted.

    The model, its gradients and torch's random state are left as they were.
    """
    with torch.random.fork_rng(devices=[setup.device] if setup.device.type == "cuda" else []):
        torch.manual_seed(0)
        _check_kernel(setup)
        _check_causality(setup)
        _check_gradient(setup)


def _check_kernel(setup: Setup) -> None:
    model = setup.config.model
    if model.kind == "bigram" or model.attention == "per_head":
        return  # the whole model's causality says it
    with setup.precision.context():
        verdict = verify(
            KERNELS[model.kernel],
            setup.device,
            setup.precision.dtype,
            H=model.n_head,
            T=model.block_size,
            D=model.head_size,
            scale=attention_scale(model),
        )
    if not verdict.right:
        raise UnsoundError(f"the kernel {verdict.kernel} must be right but {verdict.reason}")


def _check_causality(setup: Setup) -> None:
    """Change the second half of a text; what is predicted in the first must stay."""
    config = dataclasses.replace(setup.config.model, init="torch", dropout=0.0)
    model = build_model(config, setup.text.tokenizer.vocab_size).to(setup.device)
    precision = Precision(model, setup.config.train.dtype, setup.device)
    T, V = config.block_size, model.vocab_size
    x = torch.randint(V, (SEQUENCES, T), device=setup.device)  # (B, T)
    other = x.clone()
    half = T // 2
    other[:, half:] = (x[:, half:] + 1) % V
    leak = 0.0
    for mode in (True, False):  # what trains and what is evaluated may be different kernels
        precision.model.train(mode)
        with torch.no_grad(), precision.context():
            before, after = (precision.model(text)[:, :half].float() for text in (x, other))
        if half:
            leak = max(leak, float((before - after).abs().max()))
    if leak > 0.0:
        raise UnsoundError(
            f"a changed token must change nothing before it but logits moved by {leak:.2g}"
        )


def _check_gradient(setup: Setup) -> None:
    model, train = setup.precision.model, setup.config.train
    generator = torch.Generator().manual_seed(train.seed)
    x, y = sample_batch(setup.text.encoded.train, model.block_size, SEQUENCES, generator)
    with setup.precision.context():
        loss = model(x.to(setup.device), y.to(setup.device))
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    if not all(bool(g.isfinite().all()) for g in gradients if g is not None):
        raise UnsoundError(f"the first gradient must be finite but the loss is {loss.item()}")
