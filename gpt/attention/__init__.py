"""Every way to compute causal attention, under one name and one signature.

The model picks a kernel by name; the microbenchmarks time the same functions; and
`gpt.attention.verify` says whether a kernel is right before anybody asks whether it is fast.
"""

from functools import partial

from torch.nn.attention import SDPBackend

from gpt.attention.cache import incremental
from gpt.attention.cpp.attention import native
from gpt.attention.flex import flex
from gpt.attention.kernel import Attend, Kernel
from gpt.attention.online import online
from gpt.attention.plain import added_mask, matmul, per_head
from gpt.attention.sdpa import pinned_sdpa, sdpa

__all__ = ["KERNELS", "Attend", "Kernel"]

KERNELS: dict[str, Kernel] = {
    kernel.name: kernel
    for kernel in (
        Kernel(name="per_head", attend=per_head),
        Kernel(name="matmul", attend=matmul),
        Kernel(name="added_mask", attend=added_mask),
        Kernel(name="sdpa", attend=sdpa),
        Kernel(name="sdpa_math", attend=partial(pinned_sdpa, backend=SDPBackend.MATH)),
        Kernel(
            name="sdpa_flash",
            attend=partial(pinned_sdpa, backend=SDPBackend.FLASH_ATTENTION),
            devices=("cpu", "cuda"),
        ),
        Kernel(
            name="sdpa_efficient",
            attend=partial(pinned_sdpa, backend=SDPBackend.EFFICIENT_ATTENTION),
            devices=("cuda",),
        ),
        Kernel(
            name="sdpa_cudnn",
            attend=partial(pinned_sdpa, backend=SDPBackend.CUDNN_ATTENTION),
            devices=("cuda",),
        ),
        Kernel(name="flex", attend=flex),
        Kernel(name="online", attend=online, seeds_dropout=True),
        Kernel(name="native", attend=native, devices=("cpu",)),
        Kernel(
            name="incremental",
            attend=incremental,
            forward_only="it writes into its cache",
        ),
    )
}
"""The kernels by name, in the order in which tables show them."""
