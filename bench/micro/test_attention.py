"""Which attention kernel is fastest, at which length, in which precision, with and without the
backward pass?

Every kernel is checked at the timed shape before it is timed.
"""

import pytest
import torch

from bench.micro import accounting
from bench.micro.fixture import Place, Timed
from bench.micro.stopwatch import Subject
from gpt.attention import KERNELS, Kernel
from gpt.attention.verify import verify

B, H, D = 4, 4, 32

PASSES = {"forward": False, "forward + backward": True}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("direction", PASSES, ids=lambda name: name.replace(" ", ""))
def test_attention(
    name: str, direction: str, T: int, place: Place, size: str, timed: Timed
) -> None:
    kernel, backward = KERNELS[name], PASSES[direction]
    subject = Subject(series=f"attention {direction}, {place.dtype_name}", name=name, T=T)
    reason = _too_slow(kernel, place, size) or kernel.unavailable(
        place.device, place.dtype, head_size=D, backward=backward
    )
    if reason is not None:
        timed.skip_absent(subject, reason)
    shape = {"B": B, "H": H, "T": T, "D": D}
    verdict = verify(kernel, place.device, place.dtype, **shape, backward=backward)
    if verdict.reason is not None:
        timed.refuse_wrong(subject, verdict.reason)
    q, k, v, grad_out = (
        torch.randn(B, T, H, D, generator=torch.Generator().manual_seed(seed))
        .to(place.device, place.dtype)
        .transpose(1, 2)  # (B, H, T, D), laid out as the model does
        .requires_grad_(backward)
        for seed in range(4)
    )

    def run() -> None:
        out = kernel.attend(q, k, v, scale=D**-0.5)
        if backward:
            torch.autograd.grad(out, (q, k, v), grad_out)

    work = accounting.attention(**shape, itemsize=place.dtype.itemsize, backward=backward)
    timed(run, subject, work, place.device, place.dtype)


def _too_slow(kernel: Kernel, place: Place, size: str) -> str | None:
    if kernel.name == "flex" and place.device.type == "cpu" and size != "full":
        return "flex compiles for seconds at each shape on the CPU; --bench-size full times it"
    return None
