"""Every way to compute causal attention, under one name and one signature.

The model picks a kernel by name; the microbenchmarks time the same functions; `gpt.attention.verify`
says whether a kernel is right before anybody asks whether it is fast.
"""

from gpt.attention.kernel import Attend, Kernel
from gpt.attention.plain import matmul, per_head
from gpt.attention.sdpa import sdpa

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
            name="sdpa",
            description="scaled_dot_product_attention with the backend of torch's choice",
            attend=sdpa,
        ),
    )
}

__all__ = ["KERNELS", "Attend", "Kernel"]
