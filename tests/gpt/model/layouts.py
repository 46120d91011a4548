"""The weights of one layout of attention as those of the other (`gpt.model.heads`)."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

ROLES = ("query", "key", "value")
"""The thirds of a fused matrix, from top to bottom."""


def fuse(per_head: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A per-head model's state dict as that of the fused model with the same function.

    Heads are stacked in their order: rows h·D to (h + 1)·D of the query third are head h's.
    """
    fused = {}
    parts: dict[str, dict[str, list[Tensor]]] = {}
    for name, tensor in per_head.items():
        match = re.fullmatch(r"(.*)heads\.\d+\.(query|key|value)\.(weight|bias)", name)
        if match is None:
            fused[name] = tensor
        else:
            prefix, role, kind = match.groups()
            parts.setdefault(f"{prefix}qkv.{kind}", {}).setdefault(role, []).append(tensor)
    for name, roles in parts.items():
        fused[name] = torch.cat([torch.cat(roles[role]) for role in ROLES])  # (3C, C) or (3C,)
    return fused


def split(fused: Mapping[str, Tensor], n_head: int) -> dict[str, Tensor]:
    """The inverse of `fuse`: a fused model's state dict as that of the per-head model."""
    per_head = {}
    for name, tensor in fused.items():
        prefix, found, kind = name.partition("qkv.")
        if not found:
            per_head[name] = tensor
            continue
        for role, third in zip(ROLES, tensor.chunk(3), strict=True):  # (C, C) or (C,)
            for h, head in enumerate(third.chunk(n_head)):  # (D, C) or (D,)
                per_head[f"{prefix}heads.{h}.{role}.{kind}"] = head
    return per_head
