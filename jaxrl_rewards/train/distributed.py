"""Several processes: start-up, agreement, who writes, and the end of all when one is lost."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.mesh import make_mesh, replicated
from jaxrl_rewards.train.place import Place, find_place
from jaxrl_rewards.train.watch import EXIT_CODE, LastWords, Watch, joining, leave_at_exit, working

HEARTBEAT_SECONDS = 30
"""A process that gives no sign of life for this long is lost."""
SHUTDOWN_SECONDS = 60
"""How long a process that is done waits for the others."""

_watch: Watch | None = None


def initialise(
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    *,
    cluster: bool = False,
    timeout_seconds: int = 300,
) -> bool:
    """Join the other processes of a run; call before any computation.

    Settings that are not given come from the environment: JAX's variables first, then Slurm's,
    Open MPI's and PMI's; see `place.find_place` for all names and what wins.

    Args:
      coordinator: `host:port` of process 0.
      num_processes: number of processes; 1 means alone, whatever the environment says.
      process_id: number of this process from 0.
      cluster: leave all three to `jax.distributed.initialize` (TPU pods), and watch nothing.
      timeout_seconds: how long to wait for the others.

    Returns:
      Whether the run has several processes. With none of the settings given it is False and
      nothing is started. Where `jax.distributed` runs already (Ray starts it), it is left as is.

    From then on the loss of a process ends the others with one sentence on standard error and
    code 1: at once where it dies, after `HEARTBEAT_SECONDS` where it or its machine stands still.

    Raises:
      InputError: the settings are incomplete, contradict each other, are not numbers, or are out
        of range.
    """
    global _watch
    if jax.distributed.is_initialized():
        return jax.process_count() > 1
    limits = {
        "initialization_timeout": timeout_seconds,
        "heartbeat_timeout_seconds": HEARTBEAT_SECONDS,
        "shutdown_timeout_seconds": SHUTDOWN_SECONDS,
    }
    if cluster:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(**limits)
        return jax.process_count() > 1
    place = find_place(os.environ, coordinator, num_processes, process_id)
    if place is None or place.count == 1:
        return False
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    _watch = _join(place, limits)
    return True


def _join(place: Place, limits: dict[str, int]) -> Watch:
    words = LastWords("jaxrl-rewards: " + joining(place, limits["initialization_timeout"]))
    watch = Watch(place, words)
    leave_at_exit(watch)
    jax.distributed.initialize(
        place.coordinator,
        place.count,
        place.index,
        cluster_detection_method="deactivate",
        **limits,
    )
    watch.connect(_largest)
    words.say("jaxrl-rewards: " + working(place))
    return watch


@contextlib.contextmanager
def several_processes() -> Iterator[Mesh | None]:
    """Join the run that the environment describes; an exception within ends the others too.

    Gives the mesh over all devices of all processes, or None where this process runs alone.
    """
    joined = initialise()
    try:
        yield make_mesh() if joined else None
    except BaseException as error:
        if _watch is not None:
            _watch.failed = _exit_code(error)
        raise


def _exit_code(error: BaseException) -> int:
    """The code with which the command line ends on `error`."""
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    codes = {InputError: 2, KeyboardInterrupt: 130}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), EXIT_CODE)


def is_writer() -> bool:
    """Whether this process writes logs and reports: process 0 does."""
    return jax.process_index() == 0


def agree_on_any(flag: bool, mesh: Mesh | None) -> bool:
    """Whether any process has set `flag`; all processes must call it at the same point.

    It is also a barrier. With one process it is `flag` itself.
    """
    if mesh is None or jax.process_count() == 1:
        return flag
    return bool(_largest([int(flag)], mesh)[0])


def _largest(numbers: list[int], mesh: Mesh | None = None) -> list[int]:
    """The largest number of all processes at each position; all must call it."""
    mesh = make_mesh() if mesh is None else mesh
    shape = (mesh.devices.size, len(numbers))
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    host = np.broadcast_to(np.asarray(numbers, np.int32), shape)
    values = jax.make_array_from_callback(shape, sharding, lambda index: host[index])
    largest = jax.jit(lambda value: jnp.max(value, 0), out_shardings=replicated(mesh))(values)
    return [int(number) for number in np.asarray(largest)]
