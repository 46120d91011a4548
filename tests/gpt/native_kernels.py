"""What tests of the C++ kernels need: the kernels themselves, and tensors for them."""

import pytest
import torch
from torch import Tensor

from gpt import native

reason = native.absence()
needs_kernels = pytest.mark.skipif(reason is not None, reason=f"no C++ kernels: {reason}")


def random(*shape: int, seed: int = 0) -> Tensor:
    """Normally distributed, in bfloat16."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).bfloat16()
