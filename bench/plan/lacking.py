"""What that a study asks for does this machine lack? A sentence each, before anything trains.

Nothing is refused here: a run that can't be done becomes infeasible, with its reason, and one that
can be done in another way says so in its config. But whoever waits for a study should know it at
its start.
"""

import os
import shlex
import shutil

import torch

from bench.plan.plan import Plan, Request
from bench.run.executor import is_here
from gpt.config import RunConfig
from gpt.device import available_devices, product_dtype, resolve_device

COMPILERS = ("c++", "g++", "clang++")
"""Any of these can compile for torch; `CXX` names another one."""


def say_lacking(request: Request, plan: Plan) -> list[str]:
    """What a study's cells ask for in vain on this machine; [] on a cluster, which is another."""
    configs = [cell.config for cell in plan.grid.cells] if request.executor == "local" else []
    here = [config for config in configs if is_here(config, available_devices())]
    absent = sorted({c.train.device for c in configs if c not in here})
    return [*(_say_absent(device, configs) for device in absent), *_say_slow(here),
            *_say_uncompiled(here)]  # fmt: skip


def _say_absent(device: str, configs: list[RunConfig]) -> str:
    n = sum(config.train.device == device for config in configs)
    return f"No {device} device here: {_cells(n)} can't be run."


def _say_slow(configs: list[RunConfig]) -> list[str]:
    """Of runs that would compute in bfloat16 if this machine had instructions for it."""
    said = []
    for kind in sorted({_kind(config) for config in configs}):
        if product_dtype(torch.device(kind)) is torch.bfloat16:
            continue
        asking = [config for config in configs if _kind(config) == kind]
        none = "No bfloat16 instructions here" + (f" on {kind}" if kind != "cpu" else "")
        if any(config.train.dtype == "auto" for config in asking):
            said.append(f"{none}: training in float32.")
        if n := sum(config.train.dtype == "bfloat16" for config in asking):
            said.append(f"{none}: {_cells(n)} may be slow in bfloat16, which is emulated.")
        if n := sum(config.model.canonical().kernel == "native" for config in asking):
            said.append(f"{none}: {_cells(n)} can't be run, for the kernel native needs them.")
    return said


def _say_uncompiled(configs: list[RunConfig]) -> list[str]:
    """Of runs whose kernel, or whose step on a CPU, a C++ compiler makes."""
    n = sum(
        c.model.canonical().kernel == "native"
        or (_kind(c) == "cpu" and (c.train.compile or c.model.canonical().kernel == "flex"))
        for c in configs
    )
    compilers = shlex.split(os.environ.get("CXX", ""))[:1] or COMPILERS
    if not n or any(map(shutil.which, compilers)):
        return []
    return [f"No C++ compiler here ({', '.join(compilers)}): {_cells(n)} can't be run."]


def _kind(config: RunConfig) -> str:
    """The kind of device that a run which is here gets."""
    return resolve_device(config.train.device).type


def _cells(n: int) -> str:
    return f"{n} cell{'s' * (n != 1)}"
