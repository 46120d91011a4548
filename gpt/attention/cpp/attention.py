"""The C++ attention kernel as an operator of torch, with its gradients (attention.h).

torch's compiler puts the operators into its graphs as they are. q, k, v and all gradients may have
any strides as long as the channels of a head are contiguous: nothing is copied.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor

from gpt.attention.cpp.library import library
from gpt.errors import InfeasibleError

_LIBRARY = torch.library.Library("gpt_bench", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define("attention(Tensor q, Tensor k, Tensor v, float scale) -> (Tensor, Tensor)")  # type: ignore[no-untyped-call]
_LIBRARY.define(  # type: ignore[no-untyped-call]
    "attention_backward(Tensor grad_out, Tensor q, Tensor k, Tensor v, Tensor out, Tensor kept,"
    " float scale) -> (Tensor, Tensor, Tensor)"
)

OPERATORS: Any = torch.ops.gpt_bench
"""`attention` and `attention_backward`, without autograd, which `_Attention` adds."""


def native(q: Tensor, k: Tensor, v: Tensor, *, scale: float, dropout_p: float = 0.0) -> Tensor:
    """A kernel as in `gpt.attention`: q, k, v (B, H, T, D) -> (B, H, T, D).

    Raises:
        InfeasibleError: for another dtype or device, with dropout, or if the kernel can't be
            compiled here.
    """
    if dropout_p > 0:
        raise InfeasibleError(f"native attention has no dropout but got {dropout_p}; set it to 0")
    if q.dtype is not torch.bfloat16 or q.device.type != "cpu":
        raise InfeasibleError(
            "native attention must compute in bfloat16 on a CPU but got "
            f"{q.dtype} on {q.device.type}"
        )
    out: Tensor = _Attention.apply(q, k, v, scale)[0]  # type: ignore[no-untyped-call]
    return out


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        out, kept = OPERATORS.attention(q, k, v, scale)
        return out, kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *qkv, ctx.scale = inputs
        ctx.save_for_backward(*qkv, *output)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # torch would fill one of zeros for it

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return *OPERATORS.attention_backward(grads[0], *ctx.saved_tensors, ctx.scale), None


def _empty_like(q: Tensor) -> Tensor:
    """(B, H, T, D), laid out as (B, T, H, D): what the projection after it reads row by row."""
    B, H, T, D = q.shape
    return q.new_empty((B, T, H, D)).transpose(1, 2)


def _outputs(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    """Room for the output, and for two numbers of each query's softmax, (B, H, 2, T)."""
    B, H, T, _ = q.shape
    return _empty_like(q), q.new_empty((B, H, 2, T), dtype=torch.float32)


def _gradients(grad_out: Tensor, q: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG001
    return _empty_like(q), _empty_like(q), _empty_like(q)


def _forward(q: Tensor, k: Tensor, v: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    q, k, v = map(_readable, (q, k, v))
    out, kept = _outputs(q, k, v, scale)
    _call("gpt_attention", [out, kept, q, k, v], _strides(q, k, v, out), scale, q.shape)
    return out, kept


def _backward(
    grad_out: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, kept: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    grad_out, q, k, v, out = map(_readable, (grad_out, q, k, v, out))
    grads = _gradients(grad_out, q)
    tensors = [*grads, grad_out, q, k, v, out, kept]
    strides = _strides(q, k, v, out, grad_out, *grads)
    _call("gpt_attention_backward", tensors, strides, scale, q.shape)
    return grads


def _readable(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _strides(*tensors: Tensor) -> ctypes.Array[ctypes.c_int64]:
    """Of B, H and T of each tensor."""
    numbers = [stride for tensor in tensors for stride in tensor.stride()[:3]]
    return (ctypes.c_int64 * len(numbers))(*numbers)


def _call(
    name: str,
    tensors: list[Tensor],
    strides: ctypes.Array[ctypes.c_int64],
    scale: float,
    shape: torch.Size,
) -> None:
    addresses = [tensor.data_ptr() for tensor in tensors]
    getattr(library(), name)(*addresses, strides, scale, *shape, torch.get_num_threads())


for _name, _compute, _fake in (
    ("attention", _forward, _outputs),
    ("attention_backward", _backward, _gradients),
):
    _LIBRARY.impl(_name, _compute, "CPU")  # type: ignore[no-untyped-call]
    torch.library.register_fake(f"gpt_bench::{_name}", _fake, lib=_LIBRARY)
