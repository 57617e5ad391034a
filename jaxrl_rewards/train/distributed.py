"""Several hosts: start-up, agreement, and who writes."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.mesh import replicated

_VARIABLES = {
    "coordinator": "JAX_COORDINATOR_ADDRESS",
    "num_processes": "JAX_NUM_PROCESSES",
    "process_id": "JAX_PROCESS_ID",
}


def initialise(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    cluster: bool = False,
    timeout_seconds: int = 300,
) -> bool:
    """Join the other processes of a run; call before any computation.

    Args:
      coordinator: `host:port` of process 0; else the variable JAX_COORDINATOR_ADDRESS.
      num_processes: number of processes; else JAX_NUM_PROCESSES.
      process_id: number of this process from 0; else JAX_PROCESS_ID.
      cluster: take all three from the cluster's scheduler (Slurm, Open MPI, Kubernetes, TPU pods),
        as `jax.distributed.initialize` recognises it.
      timeout_seconds: how long to wait for the others.

    Returns:
      Whether the run has several processes. With none of the settings given it is False and
      nothing is started.

    Raises:
      InputError: the settings are incomplete, not numbers, or out of range.
    """
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    if cluster:
        jax.distributed.initialize(initialization_timeout=timeout_seconds)
        return jax.process_count() > 1
    given = {
        "coordinator": coordinator or os.environ.get(_VARIABLES["coordinator"]),
        "num_processes": _number("num_processes", num_processes),
        "process_id": _number("process_id", process_id),
    }
    if all(value is None for value in given.values()):
        return False
    missing = [name for name, value in given.items() if value is None]
    if missing:
        names = " and ".join(f"{name} ({_VARIABLES[name]})" for name in missing)
        raise InputError(f"a run of several processes also needs {names}")
    address, count, index = given["coordinator"], given["num_processes"], given["process_id"]
    host, _, port = str(address).rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"coordinator is {address!r}: give it as host:port, e.g. 10.0.0.1:8476")
    if count < 1 or not 0 <= index < count:
        raise InputError(
            f"process_id is {index} of num_processes {count}: number the processes "
            "from 0 to num_processes - 1"
        )
    if count == 1:
        return False
    jax.distributed.initialize(address, count, index, initialization_timeout=timeout_seconds)
    return True


def is_writer() -> bool:
    """Whether this process writes logs and reports: process 0 does."""
    return jax.process_index() == 0


def agree_on_any(flag: bool, mesh: Mesh | None) -> bool:
    """Whether any process has set `flag`; all processes must call it at the same point.

    It is also a barrier. With one process it is `flag` itself.
    """
    if mesh is None or jax.process_count() == 1:
        return flag
    size = mesh.devices.size
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    host = np.full((size,), int(flag), np.int32)
    values = jax.make_array_from_callback((size,), sharding, lambda index: host[index])
    return bool(jax.jit(jnp.max, out_shardings=replicated(mesh))(values))


def _number(name: str, value: int | None) -> int | None:
    if value is not None:
        return int(value)
    text = os.environ.get(_VARIABLES[name])
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{_VARIABLES[name]} is {text!r}: give a whole number") from None
