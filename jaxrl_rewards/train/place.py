"""Which process of a run this one is, from the variables that launchers set. Imports no jax."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from jaxrl_rewards.core.errors import InputError

ADDRESS, PORT = "JAX_COORDINATOR_ADDRESS", "JAX_COORDINATOR_PORT"
COUNT = ("JAX_NUM_PROCESSES", "JAX_PROCESS_COUNT")
INDEX = ("JAX_PROCESS_ID", "JAX_PROCESS_INDEX")
SCHEDULERS = (
    (("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"), ("SLURM_PROCID",)),
    (("OMPI_COMM_WORLD_SIZE",), ("OMPI_COMM_WORLD_RANK",)),
    (("PMI_SIZE",), ("PMI_RANK",)),
)
"""Names of the number of processes and of this process's number: Slurm, Open MPI, PMI."""

FIRST_PORT, PORTS = 61440, 4096
"""Ports for coordinators that a scheduler names by host only; the job's number picks one."""


@dataclasses.dataclass(frozen=True)
class Place:
    """One process of a run of several."""

    coordinator: str
    """`host:port` of process 0."""
    count: int
    """Number of processes, at least 2."""
    index: int
    """Number of this process, from 0."""


@dataclasses.dataclass(frozen=True)
class _Given:
    """A whole number and where it was found."""

    value: int
    source: str


def find_place(
    environment: Mapping[str, str],
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> Place | None:
    """The place of this process in its run; None where it runs alone.

    Each of the three settings is taken from the first of these that has it: the argument; JAX's
    variables (`JAX_COORDINATOR_ADDRESS`, with `JAX_COORDINATOR_PORT` where the address has no port;
    `JAX_NUM_PROCESSES` or `JAX_PROCESS_COUNT`; `JAX_PROCESS_ID` or `JAX_PROCESS_INDEX`); the
    scheduler's (within an `srun` step `SLURM_STEP_NUM_TASKS` or `SLURM_NTASKS`, `SLURM_PROCID`,
    and the first node of `SLURM_STEP_NODELIST`; else `OMPI_COMM_WORLD_SIZE` and `_RANK`, and
    `OMPI_MCA_orte_hnp_uri`; else `PMI_SIZE` and `PMI_RANK`, which tell no address). Empty
    variables count as not set. A number of processes of 1 means: alone, whatever else is set.

    Raises:
      InputError: a value is no number or out of range; two names of one setting, or a setting and
        the scheduler whose other setting is used, disagree; a setting is missing.
    """
    set_ = {name: text.strip() for name, text in environment.items() if text.strip()}
    count = _argument("num_processes", num_processes) or _agreed(set_, COUNT)
    index = _argument("process_id", process_id) or _agreed(set_, INDEX)
    if count is not None and count.value == 1 and (index is None or index.value == 0):
        return None
    if count is None or index is None:
        count, index = _complete(count, index, _scheduler(set_))
    address, source = coordinator, "coordinator"
    if not address:
        address, source = set_.get(ADDRESS), ADDRESS
    if count is None and index is None and not address:
        return None
    if not address and count is not None and index is not None:
        address, source = _scheduler_address(set_)
    _refuse_missing({"coordinator": (source if address else None), "count": count, "index": index})
    if count.value < 1 or not 0 <= index.value < count.value:
        raise InputError(
            f"{index.source} is {index.value} of {count.source} {count.value}: number the "
            "processes from 0 to one less than their number"
        )
    return Place(_with_port(address, source, set_), count.value, index.value)


def _refuse_missing(found: dict) -> None:
    names = {
        "coordinator": f"coordinator ({ADDRESS})",
        "count": f"num_processes ({COUNT[0]})",
        "index": f"process_id ({INDEX[0]})",
    }
    missing = [names[name] for name, value in found.items() if value is None]
    if missing:
        given = [getattr(value, "source", value) for value in found.values() if value is not None]
        raise InputError(
            f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} given, but a run of "
            f"several processes also needs {' and '.join(missing)}"
        )


def _argument(name: str, value: int | None) -> _Given | None:
    return None if value is None else _Given(int(value), name)


def _agreed(variables: Mapping[str, str], names: tuple[str, ...]) -> _Given | None:
    """The number that a setting's names give; they must agree where several are set."""
    found = [_Given(_number(name, variables[name]), name) for name in names if name in variables]
    for other in found[1:]:
        if other.value != found[0].value:
            raise InputError(
                f"{found[0].source} is {found[0].value}, but {other.source} is {other.value}: "
                "they mean the same, so unset one of them"
            )
    return found[0] if found else None


def _number(name: str, text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise InputError(f"{name} is {text!r}: give a whole number from 0")
    return int(text)


def _scheduler(variables: Mapping[str, str]) -> tuple[_Given, _Given] | None:
    """Number of processes and of this one, from the first scheduler that has started several."""
    for counts, indices in SCHEDULERS:
        if counts[0].startswith("SLURM") and "SLURM_STEP_NODELIST" not in variables:
            continue  # a batch script outside srun is one process, whatever SLURM_NTASKS says
        count_name = next((name for name in counts if name in variables), None)
        index_name = next((name for name in indices if name in variables), None)
        if count_name is None and index_name is None:
            continue
        if count_name is None or index_name is None:
            known, lost = (
                (index_name, counts[0]) if count_name is None else (count_name, indices[0])
            )
            raise InputError(f"{known} is set, but {lost} is not: start all through the launcher")
        count = _Given(_number(count_name, variables[count_name]), count_name)
        if count.value > 1:
            return count, _Given(_number(index_name, variables[index_name]), index_name)
    return None


def _complete(
    count: _Given | None, index: _Given | None, scheduler: tuple[_Given, _Given] | None
) -> tuple[_Given | None, _Given | None]:
    """The two numbers, the missing ones from the scheduler, which must agree with the given."""
    if scheduler is None:
        return count, index
    for given, known in zip((count, index), scheduler, strict=True):
        if given is not None and given.value != known.value:
            raise InputError(
                f"{given.source} is {given.value}, but {known.source} is {known.value}: "
                f"set both {COUNT[0]} and {INDEX[0]}, or neither"
            )
    return scheduler


def _scheduler_address(variables: Mapping[str, str]) -> tuple[str | None, str]:
    """Address of process 0 and the variable that tells it, as `jax.distributed` derives them."""
    name, nodes = "SLURM_STEP_NODELIST", variables.get("SLURM_STEP_NODELIST")
    if nodes is not None:
        first = re.match(r"([^,\[]+)(?:\[([^,\-\]]+))?", nodes)
        if first is None:
            raise InputError(f"{name} is {nodes!r}: no node's name stands at its beginning")
        host = first.group(1) + (first.group(2) or "")
        job = _number("SLURM_JOB_ID", variables.get("SLURM_JOB_ID", "0"))
        step = variables.get("SLURM_STEP_ID", "0")
        step_number = int(step) if step.isdigit() else 0
        return _on_port(host, job + step_number, variables), name
    name, uri = "OMPI_MCA_orte_hnp_uri", variables.get("OMPI_MCA_orte_hnp_uri")
    if uri is not None:
        found = re.match(r"(\d+)\..*?(?:tcp://([^,:]+)|tcp6://\[([^,\]]+))", uri)
        if found is None:
            raise InputError(f"{name} is {uri!r}: it has no TCP address; set {ADDRESS}")
        host = found.group(2) or f"[{found.group(3)}]"
        return _on_port(host, int(found.group(1)) // 4096, variables), name
    return None, ""


def _on_port(host: str, job: int, variables: Mapping[str, str]) -> str:
    return f"{host}:{variables.get(PORT) or FIRST_PORT + job % PORTS}"


def _with_port(address: str, source: str, variables: Mapping[str, str]) -> str:
    """`host:port`, checked; JAX_COORDINATOR_PORT completes an address without a port."""
    extra = variables.get(PORT)
    host, colon, port = address.rpartition(":")
    if source == ADDRESS and extra is not None:
        if not colon or address.endswith("]"):
            host, port = address, extra
        elif port != extra:
            raise InputError(f"{ADDRESS} is {address!r}, but {PORT} is {extra!r}: unset {PORT}")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise InputError(f"{source} is {address!r}: give it as host:port, e.g. 10.0.0.1:8476")
    return f"{host}:{port}"
