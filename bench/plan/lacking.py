"""What that a study asks for does this machine lack? A sentence each, before anything trains.

Nothing is refused here: a run that can't be done becomes infeasible, with its reason, and one that
can be done in another way says so in its config. But whoever waits for a study should know it at
its start.
"""

import os
import shlex
import shutil
from collections.abc import Iterable

import torch

from bench.run.executor import is_here
from gpt.config import RunConfig
from gpt.device import available_devices, product_dtype, resolve_device

COMPILERS = ("c++", "g++", "clang++")
"""Any of these can compile for torch; `CXX` names another one."""


def say_lacking(configs: Iterable[RunConfig]) -> list[str]:
    """What these runs ask for in vain on this machine; [] if they lack nothing."""
    configs = list(configs)
    here = [config for config in configs if is_here(config, available_devices())]
    absent = sorted({c.train.device for c in configs if c not in here})
    return [*(_say_absent(device, configs) for device in absent), *_say_slow(here),
            *_say_uncompiled(here)]  # fmt: skip


def _say_absent(device: str, configs: list[RunConfig]) -> str:
    n = sum(config.train.device == device for config in configs)
    return f"No {device} device here: {_cells(n)} can't be run."


def _say_slow(configs: list[RunConfig]) -> list[str]:
    """Of runs that would compute in bfloat16, or do so without the processor's help."""
    said = []
    for kind in sorted({resolve_device(config.train.device).type for config in configs}):
        device = torch.device(kind)
        if product_dtype(device) is torch.bfloat16:
            continue
        asked = [c.train.dtype for c in configs if resolve_device(c.train.device) == device]
        where = "" if kind == "cpu" else f" on {kind}"
        if "auto" in asked:
            said.append(f"No bfloat16 instructions here{where}: training in float32.")
        if n := asked.count("bfloat16"):
            said.append(
                f"No bfloat16 instructions here{where}: {_cells(n)} may be slow in bfloat16, "
                "which is emulated."
            )
    return said


def _say_uncompiled(configs: list[RunConfig]) -> list[str]:
    """Of runs that need a C++ compiler: the kernel `native`, and `compile` on a CPU."""
    n = sum(
        c.model.canonical().kernel == "native"
        or (c.train.compile and resolve_device(c.train.device).type == "cpu")
        for c in configs
    )
    named = shlex.split(os.environ.get("CXX", ""))[:1]
    if not n or any(map(shutil.which, named or COMPILERS)):
        return []
    return [f"No C++ compiler here ({' or '.join(named or COMPILERS)}): {_cells(n)} can't be run."]


def _cells(n: int) -> str:
    return f"{n} cell{'s' * (n != 1)}"
