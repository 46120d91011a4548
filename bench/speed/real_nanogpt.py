"""The real nanoGPT: its model, loaded from a checkout, in a loop like that of its train.py."""

import contextlib
import importlib.util
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpt.config import RunConfig
from gpt.errors import ConfigError
from gpt.training.setup import Setup, set_up


def real_nanogpt_losses(
    checkout: Path, config: RunConfig, cache: Path, *, gpu_defaults: bool = False
) -> Iterator[list[float]]:
    """nanoGPT's training at the shape of a run; yields the losses between two of its points."""
    reference = RealNanoGPT(checkout, set_up(config, cache=cache), gpu_defaults=gpu_defaults)
    while True:
        yield reference.steps()


class RealNanoGPT:
    """nanoGPT's training at the shape of a run, a step at a time.

    Args:
        checkout: the folder that holds its model.py.
        setup: the run whose shape, text and learning rate it takes.
        gpu_defaults: use the defaults of its train.py, which its recipe for a CPU switches off:
            TF32, autocast to bfloat16, a compiled model.

    Raises:
        ConfigError: there is no model.py.
    """

    def __init__(self, checkout: Path, setup: Setup, *, gpu_defaults: bool = False) -> None:
        config, self.device = setup.config, setup.device
        module = _load(checkout)
        shape = module.GPTConfig(
            block_size=config.model.block_size,
            vocab_size=setup.model.vocab_size,
            n_layer=config.model.n_layer,
            n_head=config.model.n_head,
            n_embd=config.model.n_embd,
            dropout=0.0,
            bias=False,
        )
        with contextlib.redirect_stdout(io.StringIO()):
            self.model = module.GPT(shape).to(self.device)
            self.optimizer = self.model.configure_optimizers(
                config.optimizer.weight_decay,
                config.optimizer.learning_rate,
                (config.optimizer.beta1, config.optimizer.beta2),
                self.device.type,
            )
        self.context: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
        if gpu_defaults:
            torch.backends.cuda.matmul.allow_tf32 = True
            self.context = partial(torch.autocast, self.device.type, dtype=torch.bfloat16)
            self.model = torch.compile(self.model)
        self.tokens = setup.text.encoded.train
        self.B, self.T = config.train.batch_size, config.model.block_size
        self.grad_clip = config.optimizer.grad_clip
        self.log_interval = config.train.log_interval

    def steps(self) -> list[float]:
        """Train as many iterations as lie between two points of our run; returns losses."""
        losses: list[float] = torch.stack([self.step() for _ in range(self.log_interval)]).tolist()
        return losses

    def step(self) -> Tensor:
        """One iteration of its loop, batch to update; returns the loss ()."""
        places = torch.randint(len(self.tokens) - self.T, (self.B,)).tolist()
        windows = [self.tokens[i : i + self.T + 1].astype(np.int64) for i in places]
        batch = torch.stack([torch.from_numpy(w) for w in windows])  # (B, T + 1)
        if self.device.type == "cuda":
            batch = batch.pin_memory().to(self.device, non_blocking=True)
        with self.context():
            self.logits, loss = self.model(batch[:, :-1].contiguous(), batch[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        detached: Tensor = loss.detach()
        return detached


def _load(checkout: Path) -> Any:
    path = checkout / "model.py"
    if not path.is_file():
        raise ConfigError(f"--against takes a checkout of nanoGPT but {checkout} has no model.py")
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} must be a Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
