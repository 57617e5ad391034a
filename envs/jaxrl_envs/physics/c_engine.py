"""Engine `c`: MuJoCo's own batch of simulations behind a host callback.

The callback takes the packed states and the controls of a whole batch and gives the new packed
states and one row of float32 numbers per world. XLA sees two operands and two results, so that
the cost of the crossing does not grow with the number of fields.
"""

from __future__ import annotations

import contextlib
import copy
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxrl_envs.physics.derived import state_sensors
from jaxrl_envs.physics.host_call import call_host
from jaxrl_envs.physics.state import PhysicsState
from jaxrl_envs.physics.versions import require_mujoco
from jaxrl_rewards.core import InputError

_OF_STEP = ("qpos", "qvel", "act", "time", "actuator_force")
"""Fields that a step leaves at the new state, or that are the last substep's by definition."""
_KEPT_BATCHES = 8
"""Idle batches kept for reuse; each is bound to its number of worlds."""


class CEngine:
    """Steps worlds of one model on MuJoCo's thread pool; stateless between calls."""

    name = "c"

    def __init__(
        self, model: Any, substeps: int, fields: tuple[str, ...], limit: float, threads: int
    ):
        self._mujoco = require_mujoco()
        self._model, self._substeps, self._fields = model, substeps, fields
        self._limit, self._threads = limit, threads
        spec = self._mujoco.mjtState
        # time, qpos, qvel, act, (history,) warm start lead MuJoCo's state row
        self._carried = self._mujoco.mj_stateSize(
            model, spec.mjSTATE_FULLPHYSICS | spec.mjSTATE_WARMSTART
        )
        data = self._mujoco.MjData(model)
        shapes = {"qpos": (model.nq,), "qvel": (model.nv,), "act": (model.na,), "time": ()}
        shapes |= {field: getattr(data, field).shape for field in fields} | {"bad_physics": ()}
        self._columns, self._width = _columns(shapes)
        self._shapes = shapes
        self._of_force = np.zeros(self._width, bool)
        if "actuator_force" in fields:
            self._of_force[self._columns["actuator_force"]] = True
        if "sensordata" in fields:
            self._of_force[self._columns["sensordata"]] = ~state_sensors(model)
        self._of_state = state_sensors(model)
        self._idle: OrderedDict[int, list[_Simulations]] = OrderedDict()
        self._lock = threading.Lock()
        self._step = _not_differentiable(self._call_step)
        self._load = _not_differentiable(self._call_load)

    def reset(self, qpos: Array, qvel: Array, act: Array) -> tuple[PhysicsState, dict[str, Array]]:
        """A world at these positions and velocities, with the engine's fields."""
        start = jnp.concatenate([jnp.zeros((1,), qpos.dtype), qpos, qvel, act])
        return self._unpack(*self._load(start))

    def step(
        self, state: PhysicsState, ctrl: Array, force: Array | None
    ) -> tuple[PhysicsState, dict[str, Array]]:
        """The world after the substeps."""
        extra = jnp.zeros((0,), ctrl.dtype) if force is None else force.reshape(-1)
        given = jnp.concatenate([ctrl, extra])
        new, raw = self._unpack(*self._step(state.packed, given))
        return new.replace(bad_physics=new.bad_physics | state.bad_physics), raw

    def _call_load(self, start: Array) -> tuple[Array, Array]:
        return call_host(self._host_load, self._result_shapes(), start)

    def _call_step(self, packed: Array, given: Array) -> tuple[Array, Array]:
        return call_host(self._host_step, self._result_shapes(), packed, given)

    def _result_shapes(self) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
        return (
            jax.ShapeDtypeStruct((2 * self._carried,), jnp.uint32),
            jax.ShapeDtypeStruct((self._width,), jnp.float32),
        )

    def _unpack(self, packed: Array, numbers: Array) -> tuple[PhysicsState, dict[str, Array]]:
        parts = {
            name: numbers[columns].reshape(self._shapes[name])
            for name, columns in self._columns.items()
        }
        state = PhysicsState(
            qpos=parts["qpos"],
            qvel=parts["qvel"],
            act=parts["act"],
            time=parts["time"],
            bad_physics=parts["bad_physics"] > 0,
            warmstart=jnp.zeros((0,), jnp.float32),
            packed=packed,
        )
        return state, {field: parts[field] for field in self._fields}

    # On the host: NumPy only. Any jax call in here could wait for the thread it runs on. The last
    # two arguments are the results, to be written.

    def _host_load(self, start: np.ndarray, packed: np.ndarray, numbers: np.ndarray) -> None:
        rows = start.reshape(-1, start.shape[-1])
        with self._simulations(len(rows)) as worlds:
            row = worlds.batch.state
            row[:] = worlds.rest
            row[:, : rows.shape[1]] = rows
            bad = self._replace_bad(row, row, worlds.rest)
            self._write(worlds, bad, np.ones(len(bad), bool), packed, numbers)

    def _host_step(
        self, state: np.ndarray, given: np.ndarray, packed: np.ndarray, numbers: np.ndarray
    ) -> None:
        state = self._rows(state)
        given = given.reshape(len(state), -1)
        with self._simulations(len(state)) as worlds:
            row = worlds.batch.state
            row[:, : self._carried] = state
            bad = self._replace_bad(state, row, worlds.rest)
            worlds.set_inputs(given)
            bad |= worlds.step(self._substeps)
            again = self._replace_bad(row, row, worlds.rest) | bad
            if again.any():
                row[again] = worlds.rest
            self._write(worlds, again, again, packed, numbers)

    def _rows(self, packed: np.ndarray) -> np.ndarray:
        """The float64 numbers of every world, without a copy."""
        return packed.reshape(-1, packed.shape[-1]).view(np.float64)

    def _replace_bad(self, given: np.ndarray, row: np.ndarray, rest: np.ndarray) -> np.ndarray:
        """Put worlds whose given state is not finite or beyond the limit at rest; which they
        were."""
        carried = given[:, 1 : self._carried]
        moving, rest_of = np.split(carried, [self._model.nq + self._model.nv], axis=1)
        # three passes without a copy clear every world in the common case; NaN fails them
        low, high = moving.min(initial=0.0), moving.max(initial=0.0)
        if low >= -self._limit and high <= self._limit and np.isfinite(rest_of.sum()):
            return np.zeros(len(given), bool)
        moving = np.abs(moving)
        bad = ~(moving <= self._limit).all(axis=1) | ~np.isfinite(carried).all(axis=1)
        row[bad] = rest
        return bad

    def _write(
        self,
        worlds: _Simulations,
        bad: np.ndarray,
        still: np.ndarray,
        packed: np.ndarray,
        numbers: np.ndarray,
    ) -> None:
        """The worlds' present state and fields into the results."""
        n = len(bad)
        worlds.refresh(self._carried - self._model.nv)
        self._rows(packed)[...] = worlds.batch.state[:, : self._carried]
        numbers = numbers.reshape(-1, self._width)
        for name, columns in self._columns.items():
            if name == "bad_physics":
                numbers[:, columns] = bad[:, None]
            elif name == "sensordata" and not self._of_state.any():
                numbers[:, columns] = worlds.last_sensors
            else:
                numbers[:, columns] = worlds.bound[name].reshape(n, -1)
        if "sensordata" in self._fields and self._of_state.any():
            columns, of_force = self._columns["sensordata"], ~self._of_state
            numbers[:, columns][:, of_force] = worlds.last_sensors[:, of_force]
        if still.any():
            numbers[np.ix_(still, self._of_force)] = 0.0  # no force has been computed

    @contextlib.contextmanager
    def _simulations(self, n: int) -> Iterator[_Simulations]:
        """A batch of `n` worlds that nobody else uses meanwhile."""
        with self._lock:
            free = self._idle.get(n)
            worlds = free.pop() if free else None
        if worlds is None:
            worlds = _Simulations(self._model, n, self._threads, tuple(self._columns)[:-1])
        yield worlds
        with self._lock:  # not reached after an error: such a batch is dropped
            self._idle.setdefault(n, []).append(worlds)
            self._idle.move_to_end(n)
            while sum(map(len, self._idle.values())) > _KEPT_BATCHES:
                size = next(size for size, kept in self._idle.items() if kept)
                self._idle[size].pop()


class _Simulations:
    """`mujoco.batch.Batch` with its bound arrays."""

    def __init__(self, model: Any, n: int, threads: int, names: tuple[str, ...]):
        from mujoco import batch

        self._mujoco = require_mujoco()
        self.batch = batch.Batch(model, n, min(threads, max(n, 1)))
        self._batch_error = batch.SimulationError
        self.batch.reset(stage=self._mujoco.mjtStage.mjSTAGE_NONE)
        # as `reset` gets it from jax, and as the other engines have it
        self.rest = self.batch.state[0].astype(np.float32).astype(np.float64)
        states = {name: self.batch.bind(name) for name in names if name in _OF_STEP}
        motions = [
            name
            for name in names
            if name not in _OF_STEP and (name != "sensordata" or state_sensors(model).any())
        ]
        # Its own steps leave the batch's positions one substep late. A second one, without the
        # contacts that make a step dear, brings them up to date at a tenth of a step's cost.
        self._moving = (
            batch.Batch(_unconstrained(model), n, self.batch.nthread) if motions else None
        )
        self.bound = states | {name: self._moving.bind(name) for name in motions}
        self.last_sensors = self.batch.bind("sensordata") if "sensordata" in names else None
        self._ctrl = self.batch.bind("ctrl")
        self._force = self.batch.bind("xfrc_applied").reshape(n, -1)
        self._forced = False
        self._seen = self.batch.warning[:, :, 1].copy()

    def set_inputs(self, given: np.ndarray) -> None:
        """Controls, then, if there are more numbers, forces and torques on the bodies."""
        nu = self._ctrl.shape[1]
        self._ctrl[...] = given[:, :nu]
        if given.shape[1] > nu:
            self._force[...] = given[:, nu:]
            self._forced = True
        elif self._forced:
            self._force[...] = 0.0
            self._forced = False

    def step(self, substeps: int) -> np.ndarray:
        """Substeps; which worlds failed."""
        return self._run(lambda: self.batch.step(nstep=substeps))

    def refresh(self, columns: int) -> None:
        """Bring positions and velocities up to date with the state, its leading `columns`."""
        if self._moving is not None:
            self._moving.state[:, :columns] = self.batch.state[:, :columns]
            with contextlib.suppress(self._batch_error):
                self._moving.forward(stage=self._mujoco.mjtStage.mjSTAGE_VEL)

    def _run(self, call: Callable[[], None]) -> np.ndarray:
        """Which worlds raised a warning (a bad state, a full contact list) or an error."""
        failed = np.zeros(self.batch.nsim, bool)
        try:
            with _SILENCE:
                call()
        except self._batch_error as error:
            failed[error.ids] = True
        count = self.batch.warning[:, :, 1]
        if not np.array_equal(count, self._seen):
            failed |= (count != self._seen).any(axis=1)
            self._seen = count.copy()
        return failed


def _unconstrained(model: Any) -> Any:
    """The model without the forces, which positions and velocities of a given state do not need;
    unchanged where sensors of a state read limits, contacts or springs."""
    mujoco = require_mujoco()
    model = copy.copy(model)
    of_state = state_sensors(model).any()
    if of_state and any(int(kind) in _reads_forces() for kind in model.sensor_type):
        return model
    for flag in ("CONSTRAINT", "CONTACT", "SPRING", "DAMPER"):
        model.opt.disableflags |= int(getattr(mujoco.mjtDisableBit, f"mjDSBL_{flag}"))
    if not of_state:
        model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_SENSOR)
    return model


def _reads_forces() -> set[int]:
    """Sensors of positions and velocities that need constraints, contacts or springs; those of the
    installed MuJoCo."""
    kinds = ("JOINTLIMITPOS", "JOINTLIMITVEL", "TENDONLIMITPOS", "TENDONLIMITVEL", "CONTACT",
             "E_POTENTIAL", "PLUGIN", "USER")  # fmt: skip
    sensor = require_mujoco().mjtSensor
    return {int(getattr(sensor, f"mjSENS_{k}")) for k in kinds if hasattr(sensor, f"mjSENS_{k}")}


class _Silence:
    """No warning handler but ours while any thread steps: MuJoCo would append a line per diverged
    world to a file. The handler is the process's, so that threads count themselves in and out; a
    handler of the user's stays."""

    def __init__(self) -> None:
        self._lock, self._stepping = threading.Lock(), 0

    def __enter__(self) -> None:
        import mujoco  # not require_mujoco: it reads package metadata, which costs milliseconds

        with self._lock:
            self._stepping += 1
            if mujoco.get_mju_user_warning() is None:
                mujoco.set_mju_user_warning(_ignore)

    def __exit__(self, *exception: Any) -> None:
        import mujoco

        with self._lock:
            self._stepping -= 1
            if self._stepping == 0 and mujoco.get_mju_user_warning() is _ignore:
                mujoco.set_mju_user_warning(None)


_SILENCE = _Silence()


def _ignore(message: str) -> None:
    del message


def _columns(shapes: dict[str, tuple[int, ...]]) -> tuple[dict[str, slice], int]:
    """Where each field lies in a row of numbers, and the row's width."""
    columns, at = {}, 0
    for name, shape in shapes.items():
        size = math.prod(shape)
        columns[name] = slice(at, at + size)
        at += size
    return columns, at


def _not_differentiable(function: Callable[..., Any]) -> Callable[..., Any]:
    guarded = jax.custom_jvp(function)

    @guarded.defjvp
    def refuse(primals: tuple, tangents: tuple) -> None:
        del primals, tangents
        raise InputError(
            "the physics engine 'c' has no gradients; make the world with engine='jax', or stop "
            "the gradient of what enters the physics (jax.lax.stop_gradient of the action)"
        )

    return guarded
