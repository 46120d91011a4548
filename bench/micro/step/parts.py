"""The parts of a training step, each ready to be run alone at the step's shapes.

A part runs the model's own modules, all layers of them, on the activations that a real forward
pass gave them, and computes the gradients of their inputs and weights. Norms, attention, MLP and
residual sums of a layer are separate parts, so the sum over the parts leaves out only what happens
between them. Model, precision and update are the step's own (`gpt.acceleration.step`): in bfloat16
the bfloat16 copy of the model computes, and the update ends by renewing the copy.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from gpt.acceleration.step import Step
from gpt.attention import KERNELS
from gpt.device import synchronize
from gpt.model.block import Block
from gpt.model.gpt import GPT
from gpt.model.heads import FusedAttention
from gpt.training.batches import sample_batches
from gpt.training.setup import Setup


@dataclass(kw_only=True)
class Part:
    """Something that a step does, forward and backward."""

    name: str
    device: torch.device
    forward: Callable[[], Any]
    backward: Callable[[Any], object] = lambda _: None
    """Takes the result of `forward`."""

    clear: Callable[[], object] = lambda: None
    """Runs before each timing, untimed: clears gradients."""

    repeats: int = 1
    """Number of steps for which one call does the work."""

    within: str | None = None
    """The part that contains this one; the sum then does not count this one again."""

    def forward_backward_seconds(self) -> tuple[float, float]:
        """Seconds a step, forward and backward, of one call."""
        self.clear()
        synchronize(self.device)
        start = time.perf_counter()
        state = self.forward()
        synchronize(self.device)
        middle = time.perf_counter()
        self.backward(state)
        synchronize(self.device)
        end = time.perf_counter()
        return (middle - start) / self.repeats, (end - middle) / self.repeats


def parts_of_step(setup: Setup, *, batches: int) -> list[Part]:
    """The parts of a training step of this model, in their order.

    Args:
        batches: number of batches that the training loop gathers at once.
    """
    return _Parts(setup, batches).all()


@dataclass
class _Parts:
    setup: Setup
    batches: int
    x: Tensor = field(init=False)
    """(B, T) tokens."""

    y: Tensor = field(init=False)
    """(B, T) the tokens after them."""

    def __post_init__(self) -> None:
        x, y = self._sample()
        self.x, self.y = x[0], y[0]
        self.step = Step(self.setup)
        self.precision = self.step.precision
        self.model = self.precision.model

    def all(self) -> list[Part]:
        data = self._part("data", self._sample, repeats=self.batches)
        model = self.model
        inner = self._of_gpt(model) if isinstance(model, GPT) else self._of_bigram()
        return [data, *inner, *self._of_update()]

    def _of_update(self) -> list[Part]:
        """What follows the backward pass; each part first gets the gradients that it needs."""
        update, weights = self.step.update, list(self.setup.model.parameters())
        computing = list(self.model.parameters())
        for parameter in computing:
            parameter.grad = None
        self.precision.backward(self.x, self.y)
        used = [i for i, parameter in enumerate(computing) if parameter.grad is not None]

        def give_gradients(parameters: Sequence[Tensor]) -> None:
            for i in used:
                parameters[i].grad = torch.full_like(parameters[i], 1e-3)

        def forget_gradients(parameters: Sequence[Tensor]) -> None:
            for parameter in parameters:
                parameter.grad = None

        def before_collecting() -> None:
            forget_gradients(weights)
            give_gradients(computing)

        # a learning rate of 0 takes as long as any other, and does not change the weights
        moving = self._part(
            "clipping and optimizer",
            lambda: update.step(0.0),
            clear=lambda: give_gradients(weights),
        )
        if self.model is self.setup.model:
            return [moving]
        collecting = self._part(
            "gradients to float32", self.precision.collect_gradients, clear=before_collecting
        )
        return [collecting, moving]

    def _sample(self) -> tuple[Tensor, Tensor]:
        config = self.setup.config
        x, y = sample_batches(
            self.setup.text.encoded.train,
            config.model.block_size,
            config.train.batch_size,
            self.batches,
            torch.Generator().manual_seed(0),
        )
        return x.to(self.setup.device), y.to(self.setup.device)

    def _of_bigram(self) -> list[Part]:
        table = [(self.model, (self.x, self.y))]
        return [self._differentiated("table and loss", table)]

    def _of_gpt(self, model: GPT) -> list[Part]:
        blocks = cast(Sequence[Block], model.blocks)
        norms = [norm for block in blocks for norm in (block.attention_norm, block.mlp_norm)]
        if self.setup.config.model.final_norm == "applied":
            norms.append(model.final_norm)
        attentions = [block.attention for block in blocks]
        inputs = self._captured([*norms, *attentions, *(b.mlp for b in blocks), blocks[0]])
        with self.precision.context():
            trunk = model.trunk(self.x)  # (B, T, C)
        embedding = [model.token_embedding]
        if self.setup.config.model.position == "learned":
            embedding.append(model.position_embedding)
        parts = [
            self._differentiated("embedding", [(_Embed(model), (self.x,))], embedding),
            self._differentiated("norms", [(norm, inputs[norm]) for norm in norms]),
            self._differentiated("attention", [(a, inputs[a]) for a in attentions]),
            self._differentiated("MLP", [(b.mlp, inputs[b.mlp]) for b in blocks]),
            self._residual_sums(inputs[blocks[0]][0], 2 * len(blocks)),
            self._differentiated(
                "head and loss", [(_HeadAndLoss(model, self.x, self.y), (trunk,))], [model.head]
            ),
        ]
        if isinstance(attentions[0], FusedAttention):
            parts.insert(3, self._kernel(len(blocks)))
        return parts

    def _part(self, name: str, forward: Callable[[], Any], **more: Any) -> Part:
        return Part(name=name, device=self.setup.device, forward=forward, **more)

    def _captured(self, modules: Sequence[nn.Module]) -> dict[nn.Module, tuple[Any, ...]]:
        """The arguments of each module in a forward pass."""
        inputs: dict[nn.Module, tuple[Any, ...]] = {}

        def capture(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            inputs[module] = arguments

        handles = [module.register_forward_pre_hook(capture) for module in modules]
        with self.precision.context():
            self.model(self.x, self.y)
        for handle in handles:
            handle.remove()
        return inputs

    def _differentiated(
        self,
        name: str,
        calls: Sequence[tuple[nn.Module, tuple[Any, ...]]],
        weights_of: Sequence[nn.Module] | None = None,
    ) -> Part:
        """Calls of modules, and the gradients of their floating-point arguments and weights."""
        calls = [(module, tuple(map(_as_leaf, arguments))) for module, arguments in calls]
        leaves = [a for _, arguments in calls for a in arguments if _is_float(a)]
        leaves += [p for m in weights_of or [m for m, _ in calls] for p in m.parameters()]
        grads: list[Tensor] = []

        def forward() -> list[Tensor]:
            with self.precision.context():
                return [module(*arguments) for module, arguments in calls]

        def backward(outs: list[Tensor]) -> None:
            if not grads:
                grads.extend(torch.randn_like(out) / out.numel() for out in outs)
            torch.autograd.backward(outs, grads)

        def clear() -> None:
            for leaf in leaves:
                leaf.grad = None

        return self._part(name, forward, backward=backward, clear=clear)

    def _residual_sums(self, x: Tensor, n: int) -> Part:
        """Forward, x + branch; backward, the sum of the gradients of both."""
        pairs = [(torch.randn_like(x), torch.randn_like(x)) for _ in range(n)]  # (B, T, C) each

        def sums(_: object = None) -> list[Tensor]:
            return [a + b for a, b in pairs]

        return self._part("residual sums", sums, backward=sums)

    def _kernel(self, n_layers: int) -> Part:
        """The attention kernel alone, on random q, k and v."""
        config = self.setup.config.model
        attention = cast(FusedAttention, cast(Block, cast(GPT, self.model).blocks[0]).attention)
        shape = (*self.x.shape, config.n_head, config.head_size)
        dtype = self.precision.dtype
        calls = [
            (
                _Kernel(config.kernel, attention.scale, config.dropout),
                tuple(
                    torch.randn(shape, device=self.setup.device, dtype=dtype).transpose(1, 2)
                    for _ in range(3)  # (B, H, T, D) each
                ),
            )
            for _ in range(n_layers)
        ]
        part = self._differentiated(f"of which the kernel, {config.kernel}", calls)
        part.within = "attention"
        return part


class _Through(nn.Module):
    """Returns its input; stands in for the blocks."""

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        return x


class _Embed(nn.Module):
    """The model's work before its first block: a copy without the rest of the trunk."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model = copy.copy(model)
        rest = {"blocks": _Through(), "final_norm": nn.Identity()}
        self.model._modules = {**model._modules, **rest}

    def forward(self, idx: Tensor) -> Tensor:
        return self.model.trunk(idx)  # (B, T) -> (B, T, C)


class _HeadAndLoss(nn.Module):
    """The model's work after its trunk: a copy whose trunk returns a given result."""

    def __init__(self, model: GPT, idx: Tensor, targets: Tensor) -> None:
        super().__init__()
        self.model = copy.copy(model)
        self.idx, self.targets = idx, targets

    def forward(self, x: Tensor) -> Tensor:
        self.model.trunk = lambda *_: x  # type: ignore[method-assign]
        loss: Tensor = self.model(self.idx, self.targets)
        return loss


class _Kernel(nn.Module):
    def __init__(self, name: str, scale: float, dropout_p: float) -> None:
        super().__init__()
        self.attend, self.scale, self.dropout_p = KERNELS[name].attend, scale, dropout_p

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.attend(q, k, v, scale=self.scale, dropout_p=self.dropout_p)


def _is_float(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _as_leaf(value: Any) -> Any:
    return value.detach().requires_grad_() if _is_float(value) else value
