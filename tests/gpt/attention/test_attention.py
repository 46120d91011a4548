"""One contract for all attention kernels: right, causal, with gradients and dropout, or not there.

`verify` is the contract's heart, and is itself tested: it must catch kernels broken on purpose.
"""

import math
import warnings
from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gpt.attention import KERNELS, Attend, Kernel
from gpt.attention.plain import matmul
from gpt.attention.verify import PARTS, tolerance, verify
from gpt.config.model import KernelName
from gpt.device import available_devices
from gpt.errors import InfeasibleError

CPU = torch.device("cpu")
SHAPES = [(2, 2, 64, 32), (1, 1, 1, 16), (2, 1, 33, 8), (1, 3, 70, 5), (1, 2, 300, 64)]
"""(B, H, T, D): the usual; one token; one head, odd T; odd H and D; more keys than a block."""

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]

FAST = [name for name in KERNELS if name != "flex"]
"""`flex` compiles for seconds at every shape, so it has a slow test of its own."""


@pytest.fixture(params=available_devices())
def device(request: pytest.FixtureRequest) -> torch.device:
    """Each device of this machine in turn."""
    return torch.device(request.param)


def have(
    name: str,
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
    *,
    head_size: int = 32,
    dropout_p: float = 0.0,
) -> Kernel:
    """The kernel, trainable unless it never is; skips the test where it can't be used."""
    kernel = KERNELS[name]
    backward = kernel.forward_only is None
    reason = kernel.unavailable(
        device, dtype, head_size=head_size, dropout_p=dropout_p, backward=backward
    )
    if reason is not None:
        pytest.skip(reason)
    return kernel


def random_qkv(B: int, H: int, T: int, D: int, device: torch.device = CPU) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(B, H, T, D, generator=generator).to(device) for _ in range(3)]


def test_the_config_knows_every_kernel_by_name() -> None:
    assert (*KERNELS, "auto") == get_args(KernelName)
    assert all(name == kernel.name for name, kernel in KERNELS.items())


@pytest.mark.parametrize("name", FAST)
def test_worked_example(name: str) -> None:
    """Two keys whose scores for the second query differ by ln 3: weights 1/4 and 3/4."""
    q = torch.tensor([[[[1.0, 0.0], [2.0, 0.0]]]])  # (1, 1, 2, 2)
    k = torch.tensor([[[[0.0, 5.0], [math.log(3.0), 5.0]]]])
    v = torch.tensor([[[[4.0, 0.0], [8.0, 1.0]]]])

    out = have(name).attend(q, k, v, scale=0.5)

    torch.testing.assert_close(out, torch.tensor([[[[4.0, 0.0], [7.0, 0.75]]]]))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", FAST)
def test_right_and_causal(
    name: str, shape: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> None:
    B, H, T, D = shape
    if dtype == torch.float16 and T > 100 and device == CPU:
        pytest.skip("the CPU has no float16 arithmetic of its own: seconds at this shape")
    kernel = have(name, device, dtype, head_size=D)
    backward = kernel.forward_only is None

    for scale in (D**-0.5, (H * D) ** -0.5, 1.0):
        verdict = verify(kernel, device, dtype, B=B, H=H, T=T, D=D, scale=scale, backward=backward)

        pinned = name.startswith("sdpa_") and device != CPU
        if pinned and T == 1 and "No available kernel" in (verdict.reason or ""):
            pytest.skip(f"{name} refuses a single token: {verdict.reason}")
        assert verdict.right, verdict.reason
        assert len(verdict.errors) == (len(PARTS) if backward else 1)


@pytest.mark.slow
def test_flex_is_right_and_causal_forward() -> None:
    reason = KERNELS["flex"].unavailable(CPU, torch.float32, backward=False)
    if reason is not None:
        pytest.skip(reason)
    verdict = verify(KERNELS["flex"], CPU, torch.float32, B=2, H=1, T=70, D=16, backward=False)

    assert verdict.right, verdict.reason


@pytest.mark.parametrize("name", FAST)
def test_dropout_is_off_by_default_and_repeats_by_seed(name: str, device: torch.device) -> None:
    attend = have(name, device, dropout_p=0.5).attend
    q, k, v = random_qkv(2, 2, 9, 4, device)

    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return attend(q, k, v, scale=0.5, dropout_p=0.5)

    assert torch.equal(attend(q, k, v, scale=0.5), attend(q, k, v, scale=0.5, dropout_p=0.0))
    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("name", FAST)
def test_dropout_drops_its_share_and_keeps_the_mean(name: str, device: torch.device) -> None:
    """With v the identity the output is the weights: some zero, the others over 1 − p."""
    p, T = 0.3, 16
    attend = have(name, device, dropout_p=p).attend
    q, k, _ = random_qkv(200, 2, T, T, device)
    v = torch.eye(T, device=device).expand(200, 2, T, T)
    weights = attend(q, k, v, scale=0.25)  # (B, H, T, T)
    past = weights > 0

    torch.manual_seed(0)
    dropped = attend(q, k, v, scale=0.25, dropout_p=p)

    kept = dropped > 0
    torch.testing.assert_close(dropped[kept], weights[kept] / (1 - p))
    n = int(past.sum())  # 54,400 weights, each kept or not
    deviation = math.sqrt(p * (1 - p) / n)
    assert float((past & ~kept).sum()) / n == pytest.approx(p, abs=5 * deviation)
    assert float(dropped.sum() / weights.sum()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("name", [n for n in FAST if KERNELS[n].forward_only is None])
def test_dropout_gradients_use_the_mask_of_the_forward_pass(name: str) -> None:
    """With v the identity the output is the mask: dropped twice by the same seed, it must be that
    of the explicit formula, gradients included."""
    p, T = 0.4, 6
    attend = have(name, dtype=torch.float64, dropout_p=p).attend
    q, k, v = (x.double().requires_grad_() for x in random_qkv(2, 2, T, T))
    grad_out = torch.randn(2, 2, T, T, dtype=torch.float64)

    def run(attend: Attend, v: Tensor) -> Tensor:
        torch.manual_seed(3)
        return attend(q, k, v, scale=0.4, dropout_p=p)

    with torch.no_grad():
        mask = run(attend, torch.eye(T, dtype=torch.float64).expand(2, 2, T, T)) > 0
    future = torch.ones(T, T, dtype=torch.bool).triu(1)
    scores = (q @ k.transpose(-2, -1) * 0.4).masked_fill(future, float("-inf"))
    explicit = (scores.softmax(dim=-1) * mask / (1 - p)) @ v
    out = run(attend, v)

    torch.testing.assert_close(out, explicit)
    torch.testing.assert_close(
        torch.autograd.grad(out, (q, k, v), grad_out),
        torch.autograd.grad(explicit, (q, k, v), grad_out),
    )


def test_online_dropout_across_blocks_has_the_gradients_of_its_own_output() -> None:
    """More keys than a block: finite differences, with the same masks drawn again."""
    attend = KERNELS["online"].attend
    q, k, v = (x.double().requires_grad_() for x in random_qkv(1, 1, 260, 2))

    def drawn(*qkv: Tensor) -> Tensor:
        torch.manual_seed(5)
        return attend(*qkv, scale=0.7, dropout_p=0.25)[:, :, ::37]

    assert torch.autograd.gradcheck(drawn, (q, k, v), fast_mode=True)


def test_online_never_holds_a_square_of_t() -> None:
    """The largest tensor made, forward and backward, grows with T × block, not with T × T."""
    attend = KERNELS["online"].attend
    T = 1024

    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        numel = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                Largest.numel = max(Largest.numel, out.numel())
            return out

    q, k, v = (x.requires_grad_() for x in random_qkv(1, 1, T, 4))
    with Largest():
        attend(q, k, v, scale=0.5).sum().backward()

    assert T * 64 <= Largest.numel < T * T / 4


class TestUnavailable:
    """A kernel that is not there says why, in one line."""

    def test_wrong_device(self) -> None:
        reason = KERNELS["sdpa_cudnn"].unavailable("cpu", torch.float32)

        assert reason == "sdpa_cudnn exists for cuda, not for cpu"

    @pytest.mark.parametrize("device", sorted({"cuda", "mps"} - set(available_devices())))
    def test_absent_device(self, device: str) -> None:
        assert KERNELS["matmul"].unavailable(device, torch.float32)

    def test_no_backward_pass(self) -> None:
        reason = KERNELS["incremental"].unavailable("cpu", torch.float32)

        assert reason == "incremental has no backward pass: it writes into its cache"
        assert KERNELS["incremental"].unavailable("cpu", torch.float32, backward=False) is None

    def test_dropout_that_a_backend_lacks(self) -> None:
        kernel = KERNELS["sdpa_flash"]

        assert kernel.unavailable("cpu", torch.float32) is None
        assert "dropout" in str(kernel.unavailable("cpu", torch.float32, dropout_p=0.1))

    def test_the_reason_is_the_root_of_what_was_raised(self) -> None:
        def attend(*_: Tensor, **__: float) -> Tensor:
            try:
                raise NotImplementedError("no backward on this device\nbut on others")
            except NotImplementedError as error:
                raise RuntimeError("a compiler failed") from error

        kernel = Kernel(name="wrapped", attend=attend)

        assert kernel.unavailable("cpu", torch.float32) == "no backward on this device"

    def test_flex_has_no_dropout(self) -> None:
        q, k, v = random_qkv(1, 1, 4, 4)

        with pytest.raises(InfeasibleError, match=r"no dropout but got 0\.1"):
            KERNELS["flex"].attend(q, k, v, scale=0.5, dropout_p=0.1)

    def test_asking_leaves_the_random_state_alone(self) -> None:
        torch.manual_seed(0)
        expected = torch.rand(3)
        torch.manual_seed(0)
        KERNELS["online"].unavailable("cpu", torch.float32, dropout_p=0.5)

        assert torch.equal(torch.rand(3), expected)


def leaky(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """No mask at all."""
    return F.scaled_dot_product_attention(q, k, v, scale=scale, dropout_p=dropout_p)


def one_ahead(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """A little of the next value, far below any tolerance."""
    ahead = torch.cat((v[:, :, 1:], v[:, :, -1:]), dim=2)
    return matmul(q, k, v, scale=scale, dropout_p=dropout_p) + 1e-5 * ahead


def wrong_scale(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0
) -> Tensor:
    return matmul(q, k, v, scale=scale / 2, dropout_p=dropout_p)


def late_error(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """Right but for the last row, as where T is no multiple of a block."""
    out = matmul(q, k, v, scale=scale, dropout_p=dropout_p)
    return torch.cat((out[:, :, :-1], 0.5 * out[:, :, -1:]), dim=2)


def no_gradient_of_k(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0
) -> Tensor:
    return matmul(q, k.detach() + 0 * k, v, scale=scale, dropout_p=dropout_p)


def not_a_number(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0
) -> Tensor:
    return matmul(q, k, v, scale=scale, dropout_p=dropout_p) * float("nan")


class TestVerify:
    """Broken kernels are caught, and the reason names what is broken."""

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    @pytest.mark.parametrize(
        ("attend", "reason"),
        [
            (leaky, "its output is off"),
            (wrong_scale, "its output is off"),
            (late_error, "its output is off"),
            (no_gradient_of_k, "its gradient of k is off"),
            (not_a_number, "its output is off by nan"),
        ],
    )
    def test_catches(self, attend: Attend, reason: str, dtype: torch.dtype) -> None:
        kernel = Kernel(name="broken", attend=attend)

        verdict = verify(kernel, CPU, dtype)

        assert not verdict.right
        assert str(verdict.reason).startswith(reason)

    def test_the_canary_hears_what_the_reference_cannot(self) -> None:
        kernel = Kernel(name="ahead", attend=one_ahead)

        verdict = verify(kernel, CPU, torch.bfloat16)
        assert max(verdict.errors.values()) < verdict.tolerance
        assert str(verdict.reason).startswith("it leaks the future")

    def test_the_canary_hears_a_leak_in_the_gradient_alone(self) -> None:
        class Leak(torch.autograd.Function):
            @staticmethod
            def forward(ctx: object, x: Tensor) -> Tensor:  # noqa: ARG004
                return x.clone()

            @staticmethod
            def backward(ctx: object, grad: Tensor) -> Tensor:  # noqa: ARG004
                return grad + 1e-7 * grad.sum(2, keepdim=True)

        def attend(
            q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0
        ) -> Tensor:
            return matmul(q, k, Leak.apply(v), scale=scale, dropout_p=dropout_p)

        verdict = verify(Kernel(name="leak", attend=attend), CPU, torch.float32)

        assert "have a gradient from there on" in str(verdict.reason)

    def test_an_absent_kernel_and_a_raising_one_get_a_reason(self) -> None:
        def attend(
            q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0
        ) -> Tensor:
            if q.shape[2] > 8:
                raise ValueError("at most 8 tokens")
            return matmul(q, k, v, scale=scale, dropout_p=dropout_p)

        small = Kernel(name="small", attend=attend)

        assert verify(small, CPU, torch.float32).reason == "raised ValueError: at most 8 tokens"
        assert verify(small, CPU, torch.float32, T=8).right
        absent = replace(small, devices=("cuda",))
        assert verify(absent, CPU, torch.float32).reason == "small exists for cuda, not for cpu"

    def test_tolerance_follows_the_precision(self) -> None:
        eps = torch.finfo(torch.bfloat16).eps

        assert tolerance(torch.bfloat16, 0.25, 16) == pytest.approx(16 * eps, rel=1e-3)
        assert tolerance(torch.float32, 0.25, 16) < 1e-4 * tolerance(torch.bfloat16, 0.25, 16)


def test_asking_is_silent() -> None:
    """Torch's warnings become reasons: kernels are listed on machines that lack them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kernel in KERNELS.values():
            if kernel.name != "flex":
                kernel.unavailable("cpu", torch.float32, dropout_p=0.1)
