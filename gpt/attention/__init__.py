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
        Kernel(
            name="per_head",
            description="a loop over the heads, each matmul–softmax–matmul, as the originals",
            attend=per_head,
        ),
        Kernel(
            name="matmul",
            description="matmul–softmax–matmul for all heads at once",
            attend=matmul,
        ),
        Kernel(
            name="added_mask",
            description="matmul–softmax–matmul, scale and mask folded into the first product",
            attend=added_mask,
        ),
        Kernel(
            name="sdpa",
            description="scaled_dot_product_attention, the backend chosen by torch",
            attend=sdpa,
        ),
        Kernel(
            name="sdpa_math",
            description="scaled_dot_product_attention, its plain backend",
            attend=partial(pinned_sdpa, backend=SDPBackend.MATH),
        ),
        Kernel(
            name="sdpa_flash",
            description="scaled_dot_product_attention, FlashAttention",
            attend=partial(pinned_sdpa, backend=SDPBackend.FLASH_ATTENTION),
            devices=("cpu", "cuda"),
        ),
        Kernel(
            name="sdpa_efficient",
            description="scaled_dot_product_attention, xFormers' memory-efficient kernel",
            attend=partial(pinned_sdpa, backend=SDPBackend.EFFICIENT_ATTENTION),
            devices=("cuda",),
        ),
        Kernel(
            name="sdpa_cudnn",
            description="scaled_dot_product_attention, cuDNN",
            attend=partial(pinned_sdpa, backend=SDPBackend.CUDNN_ATTENTION),
            devices=("cuda",),
        ),
        Kernel(
            name="flex",
            description="FlexAttention, compiled",
            attend=flex,
        ),
        Kernel(
            name="online",
            description="online softmax over blocks of keys, never the T × T matrix",
            attend=online,
            seeds_dropout=True,
        ),
        Kernel(
            name="native",
            description="the suite's own in C++, a head at a time in a core's cache, in bfloat16",
            attend=native,
            devices=("cpu",),
        ),
        Kernel(
            name="incremental",
            description="token by token through a key–value cache, as generation does",
            attend=incremental,
            forward_only="it writes into its cache",
        ),
    )
}
"""The kernels by name, in the order in which tables show them."""
