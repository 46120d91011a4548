"""A Ray cluster: how to join or start one, which machines it has, and whether they fit."""

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.system.provenance import code_digest
from gpt.errors import ConfigError, MachineError

ANSWER_SECONDS = 10.0
"""Time for a cluster to accept a connection."""


def connect(address: str | None) -> None:
    """Join a cluster, or start one that listens only on this machine and sends no usage data."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = (
        "0"  # Ray hides no GPU from a task without one
    )
    if address not in (None, "auto"):
        _refuse_unreachable(str(address))
    own: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(
            address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if address else own),
        )
    except Exception as error:  # Ray raises plain ones too
        ray.shutdown()
        where = f"at {address}" if address else "on this machine"
        reason = str(error).strip().splitlines()[0]
        raise MachineError(f"there must be a Ray cluster {where} but: {reason}") from error


def _refuse_unreachable(address: str) -> None:
    """Raise `MachineError` at once, where Ray would retry for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise ConfigError(f"--address takes HOST:PORT or auto but got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise MachineError(f"there must be a Ray cluster at {address} but: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A node of the cluster, as Ray counts it."""

    id: str
    address: str
    n_cpus: int
    n_gpus: int


def machines_of_cluster() -> list[Machine]:
    """The machines that are alive and have cores."""
    found = [
        Machine(
            id=node["NodeID"],
            address=node["NodeManagerAddress"],
            n_cpus=int(node["Resources"].get("CPU", 0)),
            n_gpus=int(node["Resources"].get("GPU", 0)),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
    return [machine for machine in found if machine.n_cpus]


def on(node_id: str) -> NodeAffinitySchedulingStrategy:
    """A scheduling strategy that runs a task on this machine only."""
    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def with_this_code(machines: Sequence[Machine]) -> list[Machine]:
    """The machines that answer; raises `MachineError` if one of them has different code."""
    asked = [
        ray.remote(num_cpus=0, scheduling_strategy=on(machine.id))(_own_code).remote()
        for machine in machines
    ]
    answering = []
    for machine, digest in zip(machines, asked, strict=True):
        try:
            found = ray.get(digest)
        except RayTaskError as error:
            found = cause_of(error)
        except RayError:
            continue  # it was lost meanwhile
        if found != code_digest():
            raise MachineError(
                f"every machine must run gpt-bench {code_digest()}, as here, "
                f"but {machine.address}: {found}"
            )
        answering.append(machine)
    if not answering:
        raise MachineError("a Ray cluster must have a machine with cores but this one has none")
    return answering


def _own_code() -> str:
    return code_digest()  # Ray can't take a cached function itself


def cause_of(error: RayError) -> str:
    """Why Ray lost a task, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no reason given'}"
