"""The update in C++ against torch's optimizers, and when which is chosen."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gpt import native
from gpt.config import ModelConfig, OptimizerConfig
from gpt.model import GPT
from gpt.precision import Precision
from gpt.update import NativeUpdate, Update, make_update

reason = native.absence()
needs_kernels = pytest.mark.skipif(reason is not None, reason=f"no C++ kernels: {reason}")

ULP = 2**-23
"""Between a float32 weight near 1, as a norm's, and the next."""

ADAMW = OptimizerConfig(fused=True, weight_decay=0.3, beta1=0.8, beta2=0.95)
MUON = replace(ADAMW, kind="muon", adamw_multiplier=3.0)

# sides that are not multiples of a register, tall and wide matrices, vectors, a tied matrix
SHAPE = ModelConfig(block_size=8, n_layer=2, n_head=2, n_embd=20, bias=True, tied_head=True)


def updated(
    kind: type[Update], config: OptimizerConfig, *, dtype: str = "bfloat16", size: float = 0.01
) -> tuple[GPT, Precision, list[Tensor]]:
    """A model after five steps of gradients of this size; the norms that were reported."""
    torch.manual_seed(0)
    model = GPT(SHAPE, 37)
    precision = Precision(model, dtype, torch.device("cpu"))  # type: ignore[arg-type]
    update = kind(model, precision, config)
    norms = []
    for gradients in gradients_of(model, size):
        for parameter, gradient in zip(precision.model.parameters(), gradients, strict=True):
            parameter.grad = gradient.to(parameter.dtype)
        update.collect_gradients()
        norms.append(update.step(0.01))
    return model, precision, norms


def gradients_of(model: GPT, size: float) -> Iterator[list[Tensor]]:
    """Five times gradients that a bfloat16 can hold."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        shapes = (parameter.shape for parameter in model.parameters())
        yield [(size * torch.randn(s, generator=generator)).bfloat16().float() for s in shapes]


def moved(model: GPT) -> Tensor:
    """How far each weight is from where it started."""
    torch.manual_seed(0)
    pairs = zip(model.parameters(), GPT(SHAPE, 37).parameters(), strict=True)
    return torch.cat([(a.detach() - b.detach()).flatten() for a, b in pairs])


@needs_kernels
@pytest.mark.parametrize("grad_clip", [0.0, 1.0])
@pytest.mark.parametrize("size", [0.001, 0.5])
def test_adamw_moves_as_torch_s_does(size: float, grad_clip: float) -> None:
    config = replace(ADAMW, grad_clip=grad_clip)
    expected, _, expected_norms = updated(Update, config, size=size)
    found, _, norms = updated(NativeUpdate, config, size=size)

    torch.testing.assert_close(moved(found), moved(expected), rtol=1e-5, atol=2 * ULP)
    torch.testing.assert_close(torch.stack(norms), torch.stack(expected_norms))


@needs_kernels
def test_muon_moves_as_in_float32_but_for_rounding() -> None:
    """Its products are in bfloat16 either way."""
    expected, _, _ = updated(Update, MUON, dtype="float32")
    found, _, _ = updated(NativeUpdate, MUON)

    distance = (moved(found) - moved(expected)).norm() / moved(expected).norm()
    assert distance < 0.01


@needs_kernels
@pytest.mark.parametrize("config", [ADAMW, MUON])
def test_the_copy_follows_and_gradients_are_forgotten(config: OptimizerConfig) -> None:
    model, precision, _ = updated(NativeUpdate, config)

    for weight, copy in zip(model.parameters(), precision.model.parameters(), strict=True):
        assert torch.equal(copy, weight.bfloat16())
        assert weight.grad is copy.grad is None


@needs_kernels
@pytest.mark.parametrize("config", [ADAMW, MUON])
def test_threads_change_no_bit(config: OptimizerConfig) -> None:
    before = torch.get_num_threads()
    results = []
    for n_threads in (1, 2, 3):
        torch.set_num_threads(n_threads)
        results.append(moved(updated(NativeUpdate, config)[0]))
    torch.set_num_threads(before)

    assert all(torch.equal(result, results[0]) for result in results)


@needs_kernels
def test_a_weight_without_gradient_stays() -> None:
    model = GPT(SHAPE, 37)
    precision = Precision(model, "bfloat16", torch.device("cpu"))
    still, moving = model.token_embedding.weight, model.final_norm.weight
    before = still.detach().clone(), moving.detach().clone()
    precision.model.final_norm.weight.grad = torch.ones(20, dtype=torch.bfloat16)

    NativeUpdate(model, precision, ADAMW).step(0.1)

    assert torch.equal(still, before[0])
    assert not torch.equal(moving, before[1])


@needs_kernels
def test_what_is_not_a_number_stays_none() -> None:
    model = GPT(SHAPE, 37)
    precision = Precision(model, "bfloat16", torch.device("cpu"))
    precision.model.final_norm.weight.grad = torch.full((20,), torch.nan, dtype=torch.bfloat16)

    norm = NativeUpdate(model, precision, ADAMW).step(0.1)

    assert norm.isnan()
    assert model.final_norm.weight.isnan().all()


@needs_kernels
@pytest.mark.parametrize(
    ("dtype", "fused", "n_passes", "is_native"),
    [
        ("bfloat16", True, 1, True),
        ("bfloat16", True, 2, False),  # gradients of several passes are summed in float32
        ("bfloat16", False, 1, False),
        ("float32", True, 1, False),
    ],
)
def test_the_native_update_is_taken_where_it_does_the_same(
    dtype: str, fused: bool, n_passes: int, is_native: bool
) -> None:
    model = GPT(SHAPE, 37)
    precision = Precision(model, dtype, torch.device("cpu"))  # type: ignore[arg-type]
    update = make_update(model, precision, replace(ADAMW, fused=fused), n_passes=n_passes)

    assert isinstance(update, NativeUpdate) == is_native
