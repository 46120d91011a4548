"""Which windows of the text does a step train on? Random ones, drawn from the run's seed.

A seed draws places in the text as fractions of its length, so runs with unlike tokenizers see the
same parts of it in the same order.
"""

import numpy as np
import torch

from gpt.errors import DataError
from gpt.tokenizers import TokenArray

MOST_BYTES_ON_GPU = 1 << 30
"""A longer text stays in the host's memory, and its batches are copied over."""


def moved_if_small(tokens: TokenArray, device: torch.device) -> TokenArray | torch.Tensor:
    """A split (N,) where batches are gathered fastest: on a GPU, if it takes little memory."""
    if device.type != "cuda" or 4 * tokens.size > MOST_BYTES_ON_GPU:
        return tokens
    return torch.from_numpy(tokens.astype(np.int32)).to(device)


def sample_batch(
    tokens: TokenArray, block_size: int, batch_size: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random windows (B, T) and the same windows one token later (B, T), as int64.

    Where a window starts is drawn as a fraction of the text, so that one seed visits the same
    parts of the text whatever the tokenizer.
    """
    x, y = sample_batches(tokens, block_size, batch_size, 1, generator)
    return x[0], y[0]


def sample_batches(
    tokens: TokenArray | torch.Tensor,
    block_size: int,
    batch_size: int,
    n: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `n` calls of `sample_batch` would give, stacked (n, B, T), in one gather.

    Args:
        tokens: (N,) the split; a tensor is gathered on its own device.
    """
    n_offsets = len(tokens) - block_size
    if n_offsets <= 0:
        raise DataError(
            f"a split must be longer than block_size but got {len(tokens)} tokens and {block_size}"
        )
    fractions = torch.rand(n, batch_size, dtype=torch.float64, generator=generator)
    offsets = (fractions * n_offsets).long()  # (n, B)
    if isinstance(tokens, torch.Tensor):
        window = torch.arange(block_size + 1, device=tokens.device)
        gathered = tokens[offsets.to(tokens.device)[..., None] + window].long()
    else:
        windows = offsets.numpy()[..., None] + np.arange(block_size + 1)  # (n, B, T + 1)
        gathered = torch.from_numpy(tokens[windows].astype(np.int64))
    return gathered[..., :-1].contiguous(), gathered[..., 1:].contiguous()
