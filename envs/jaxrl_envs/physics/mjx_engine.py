"""Engines `jax` and `warp`: MJX, whose step is itself a jax function.

Only positions, velocities, activations and the solver's warm start are carried from step to step;
everything else of MJX's data is made anew from a constant template, which keeps loops small.
"""

from __future__ import annotations

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxrl_envs.physics.derived import state_sensors
from jaxrl_envs.physics.features import refuse_unsupported
from jaxrl_envs.physics.state import PhysicsState
from jaxrl_envs.physics.versions import require_mjx, require_mujoco
from jaxrl_rewards.core import InputError

TUNED_LINE_SEARCH = 4
_CARRIED = ("qpos", "qvel", "act", "qacc_warmstart", "time")
_FORCES = ("actuator_force", "sensordata")
_MOTIONS = ("xpos", "xquat", "cvel", "subtree_com", "site_xpos")


class MjxEngine:
    """Steps one world in jax, lifted by `vmap`."""

    def __init__(
        self,
        model: Any,
        substeps: int,
        fields: tuple[str, ...],
        limit: float,
        *,
        name: str,
        iterations: int | None,
        max_contacts: int | None,
        max_constraints: int | None,
    ):
        self.name = name
        self._mjx = require_mjx() if name == "jax" else _require_warp()
        refuse_unsupported(model)
        model = model if iterations is None else tune(model, iterations)
        self._substeps, self._fields, self._limit = substeps, fields, limit
        self._of_state = state_sensors(model)
        wanted = require_mujoco().mjtSensor.mjSENS_ACTUATORVEL
        self._actuator_velocity = bool((model.sensor_type == wanted).any())
        sizes = {} if name == "jax" else {"naconmax": max_contacts, "njmax": max_constraints}
        try:
            self._model = self._mjx.put_model(model, impl=name)
            self._blank = self._mjx.make_data(model, impl=name, **sizes)
        except NotImplementedError as error:
            raise InputError(
                f"the engine {name!r} cannot run this model: {error}; change the model or use "
                "engine='c'"
            ) from error
        # MJX leaves sensors of forces out of a model that has no contact, limit or other constraint
        rows = getattr(getattr(self._blank, "_impl", None), "efc_J", None)
        self._skips_force_sensors = name == "jax" and rows is not None and rows.size == 0
        self._rest = {field: jnp.asarray(getattr(self._blank, field)) for field in _CARRIED}
        self._rest["qpos"] = jnp.asarray(model.qpos0, self._rest["qpos"].dtype)
        self._at_rest = _fields_at_rest(model, fields)

    def reset(self, qpos: Array, qvel: Array, act: Array) -> tuple[PhysicsState, dict[str, Array]]:
        """A world at these positions and velocities, with the engine's fields."""
        carry = self._rest | {"qpos": qpos, "qvel": qvel, "act": act}
        bad = self._is_bad(carry)
        carry = self._or_rest(bad, carry)
        return _state(carry, bad), self._refresh(carry, None, self._no_forces())

    def step(
        self, state: PhysicsState, ctrl: Array, force: Array | None
    ) -> tuple[PhysicsState, dict[str, Array]]:
        """The world after the substeps."""
        carry = {
            "qpos": state.qpos,
            "qvel": state.qvel,
            "act": state.act,
            "qacc_warmstart": state.warmstart,
            "time": state.time,
        }
        bad = self._is_bad(carry) | ~jnp.isfinite(ctrl).all()
        if force is not None:
            bad |= ~jnp.isfinite(force).all()
            force = jnp.where(bad, 0.0, force)
        carry = self._or_rest(bad, carry)
        ctrl = jnp.where(bad, 0.0, ctrl)

        def substep(carry: Any, _: None) -> tuple[Any, None]:
            moved, _ = carry
            data = self._mjx.step(self._model, self._data(moved, ctrl, force))
            if self._skips_force_sensors:
                data = self._mjx.sensor_acc(self._model, data)
            return ({name: getattr(data, name) for name in _CARRIED}, self._forces(data)), None

        start = (carry, self._no_forces())
        (carry, forces), _ = jax.lax.scan(substep, start, None, length=self._substeps)
        bad |= self._is_bad(carry)
        carry = self._or_rest(bad, carry)
        raw = self._refresh(carry, ctrl, forces)
        raw = jax.tree.map(lambda rest, new: jnp.where(bad, rest, new), self._at_rest, raw)
        return _state(carry, state.bad_physics | bad), raw

    def _data(self, carry: dict[str, Array], ctrl: Array | None, force: Array | None = None) -> Any:
        given = dict(carry)
        if ctrl is not None:
            given["ctrl"] = ctrl
        if force is not None:
            given["xfrc_applied"] = force
        return self._blank.replace(**given)

    def _forces(self, data: Any) -> dict[str, Array]:
        return {name: getattr(data, name) for name in _FORCES if name in self._fields}

    def _no_forces(self) -> dict[str, Array]:
        return jax.tree.map(jnp.zeros_like, self._forces(self._blank))

    def _refresh(
        self, carry: dict[str, Array], ctrl: Array | None, forces: dict[str, Array]
    ) -> dict[str, Array]:
        """Positions and velocities at the new state; forces stay those of the last substep."""
        mjx, model, data = self._mjx, self._model, self._data(carry, ctrl)
        if not any(name in self._fields for name in _MOTIONS) and not self._reads_state:
            return forces
        if self.name == "warp":  # has no parts to call one by one
            data = mjx.forward(model, data)
        else:
            data = mjx.com_pos(model, mjx.kinematics(model, data))
            data = mjx.com_vel(model, data)
        raw = {name: getattr(data, name) for name in self._fields if name in _MOTIONS}
        if "sensordata" in forces and self._reads_state:
            if self.name == "jax":
                data = mjx.transmission(model, mjx.camlight(model, data))
                if self._actuator_velocity:
                    data = mjx.fwd_velocity(model, data)
                data = mjx.sensor_vel(model, mjx.sensor_pos(model, data))
            forces = forces | {
                "sensordata": jnp.where(self._of_state, data.sensordata, forces["sensordata"])
            }
        return raw | forces

    @property
    def _reads_state(self) -> bool:
        return "sensordata" in self._fields and bool(self._of_state.any())

    def _is_bad(self, carry: dict[str, Array]) -> Array:
        """Whether a number is not finite, or a position or velocity is beyond the limit."""
        moving = jnp.concatenate([carry["qpos"], carry["qvel"]])
        others = jnp.concatenate([carry["act"], carry["qacc_warmstart"]])
        return ~(jnp.abs(moving) <= self._limit).all() | ~jnp.isfinite(others).all()

    def _or_rest(self, bad: Array, carry: dict[str, Array]) -> dict[str, Array]:
        return jax.tree.map(lambda rest, new: jnp.where(bad, rest, new), self._rest, carry)


def tune(model: Any, iterations: int = 1) -> Any:
    """A copy with the options at which MJX is fast and differentiable.

    Newton's method with one iteration (more are not differentiable) and four of its line search,
    and no implicit damping under the Euler integrator. Default solver settings are some ten times
    slower.
    """
    mujoco = require_mujoco()
    model = copy.copy(model)
    model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    model.opt.iterations = iterations
    model.opt.ls_iterations = TUNED_LINE_SEARCH
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_EULERDAMP
    return model


def _fields_at_rest(model: Any, fields: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The fields in the reference pose, from MuJoCo itself: nothing to compile."""
    mujoco = require_mujoco()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    data.actuator_force = 0
    data.sensordata[~state_sensors(model)] = 0
    return {name: getattr(data, name).astype(np.float32) for name in fields}


def _state(carry: dict[str, Array], bad: Array) -> PhysicsState:
    return PhysicsState(
        qpos=carry["qpos"],
        qvel=carry["qvel"],
        act=carry["act"],
        time=carry["time"],
        bad_physics=bad,
        warmstart=carry["qacc_warmstart"],
        packed=jnp.zeros((0,), jnp.uint32),
    )


def _require_warp() -> Any:
    mjx = require_mjx()
    try:
        import warp
    except ImportError as error:
        raise InputError(
            "the engine 'warp' needs NVIDIA's warp-lang, which is not installed; install "
            "'mujoco-mjx[warp]' or choose engine='jax'"
        ) from error
    if not any(device.platform in ("gpu", "cuda") for device in jax.devices()):
        raise InputError(
            "the engine 'warp' needs an NVIDIA GPU that jax can use; choose engine='jax' or 'c'"
        )
    warp.config.quiet = True
    return mjx
