"""torch's scaled_dot_product_attention: by torch's own choice of backend, or with one pinned."""

import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel


def sdpa(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """By the backend that torch chooses for device, dtype, shape and dropout."""
    return F.scaled_dot_product_attention(
        q, k, v, dropout_p=dropout_p, is_causal=True, scale=scale
    )


def pinned_sdpa(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float,
    dropout_p: float = 0.0,
    backend: SDPBackend,
) -> Tensor:
    """By this backend; a RuntimeError where it can't do the job."""
    with sdpa_kernel(backend):
        return sdpa(q, k, v, scale=scale, dropout_p=dropout_p)
