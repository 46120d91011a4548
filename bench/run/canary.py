"""Can this run be trusted? Checks before it trains, on its device, in its precision, at its shape.

1. Its attention kernel is right (`gpt.attention.verify`).
2. In the whole model, a changed token changes no earlier prediction.
3. The accelerated step (its precision, kernel and loss head) gives the loss and the gradients of
   the plain computation.
4. The first gradient is finite.

Checks 2 and 3 use a model with the run's config but ordinary random weights, because a model whose
projections start at zero does not use its context yet. Compiled gradients are compared when they
are compiled (`Precision.rehearse`).
"""

import dataclasses

import torch

from gpt.acceleration.precision import Precision
from gpt.attention import KERNELS
from gpt.attention.verify import verify
from gpt.errors import UnsoundError
from gpt.model.gpt import LanguageModel, build_model
from gpt.model.heads import attention_scale
from gpt.training.batches import sample_batch
from gpt.training.setup import Setup

SEQUENCES = 2
"""Enough to show a leak, also one between sequences."""

STEP_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.3, "float16": 0.1}
"""Largest allowed distance of a weight's gradient from the plain one, relative to that one's norm,
or to the usual norm for its number of entries if that is larger: with random weights a few sums
cancel, but their rounding errors don't. At most half of this was observed. The loss may be off by
a tenth as much."""


def check_canary(setup: Setup) -> None:
    """Raise `UnsoundError`, with what was found, unless the run may be trusted.

    The model, its gradients and torch's random state are left as they were.
    """
    with torch.random.fork_rng(devices=[setup.device] if setup.device.type == "cuda" else []):
        torch.manual_seed(0)
        _check_kernel(setup)
        model = dataclasses.replace(setup.config.model, init="torch", dropout=0.0)
        trial = dataclasses.replace(
            setup,
            config=setup.config.replace(model=model),
            model=build_model(model, setup.model.vocab_size).to(setup.device),
        )
        precision = Precision(trial.model, setup.config.train.dtype, setup.device)
        _check_causality(precision, setup.device)
        _check_step(precision, trial)
        _check_gradient(setup)


def _check_kernel(setup: Setup) -> None:
    model = setup.config.model
    if model.kind == "bigram" or model.attention == "per_head":
        return  # there is no kernel; the causality check covers the model
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


def _check_causality(precision: Precision, device: torch.device) -> None:
    """Change the second half of a text; the predictions in the first half must not change."""
    T, V = precision.model.block_size, precision.model.vocab_size
    x = torch.randint(V, (SEQUENCES, T), device=device)  # (B, T)
    other = x.clone()
    half = T // 2
    other[:, half:] = (x[:, half:] + 1) % V
    leak = 0.0
    for mode in (True, False):  # training and evaluation may use different kernels
        precision.model.train(mode)
        with torch.no_grad(), precision.context():
            before, after = (precision.model(text)[:, :half].float() for text in (x, other))
        if half:
            leak = max(leak, float((before - after).abs().max()))
    if leak > 0.0:
        raise UnsoundError(
            f"a changed token must change nothing before it but logits moved by {leak:.2g}"
        )


def _check_step(precision: Precision, trial: Setup) -> None:
    """Compare loss and gradients with those of the plain head and kernel, in float32."""
    dtype, config = trial.config.train.dtype, trial.config
    config = config.replace(model=dataclasses.replace(config.model, loss_head="plain"))
    plain = dataclasses.replace(trial, config=config).in_float32().model
    model = precision.model.train()
    shape = (SEQUENCES, model.block_size)
    x, y = (torch.randint(model.vocab_size, shape, device=trial.device) for _ in range(2))
    loss, exact_loss = precision.backward(x, y), plain(x, y)
    exact_loss.backward()
    limit = STEP_TOLERANCE[dtype]
    errors = {"loss": 10 * abs(float(loss / exact_loss.detach()) - 1)}
    norm, size = _norm(plain), plain.n_params
    scale = precision.scaler.get_scale()
    for (name, exact), parameter in zip(plain.named_parameters(), model.parameters(), strict=True):
        if exact.grad is None or parameter.grad is None:
            continue  # the loss does not depend on it
        usual = norm * (exact.numel() / size) ** 0.5
        distance = float((parameter.grad.float() / scale - exact.grad).norm())
        errors[f"gradient of {name}"] = distance / max(float(exact.grad.norm()), usual)
    for what, error in errors.items():
        if not error <= limit:  # NaN is wrong too
            raise UnsoundError(
                f"a step in {dtype} must agree with the plain one in float32 but its {what} is "
                f"off by {error:.2g}, where rounding explains {limit:.2g}"
            )


def _norm(model: LanguageModel) -> float:
    """The norm of the whole gradient."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))


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
