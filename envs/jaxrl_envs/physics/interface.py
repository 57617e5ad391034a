"""One physics interface over three engines."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxrl_envs.physics.derived import Derivation, derivation, state_sensors
from jaxrl_envs.physics.site_motion import OF_SITES, has_closed_form, site_motion
from jaxrl_envs.physics.state import DEFAULT_OUTPUTS, OUTPUTS, PhysicsState
from jaxrl_envs.physics.versions import require_mujoco
from jaxrl_rewards.core import InputError

ENGINES = ("c", "jax", "warp")
ENGINE_VARIABLE = "JAXRL_REWARDS_PHYSICS"
"""Environment variable that stands for `engine="auto"`'s own choice."""
THREADS_VARIABLE = "JAXRL_REWARDS_PHYSICS_THREADS"
LIMIT = 1e6
"""Largest position or velocity, in the model's units, of a world that has not diverged."""


@dataclasses.dataclass(frozen=True, eq=False)
class Physics:
    """A compiled model with an engine; static, made by `make_physics`, compared by identity.

    All methods take one world and are lifted by `vmap`, in any nesting and inside `jit` and `scan`.
    Only the engine `jax` has gradients; under the others, taking one raises InputError.
    """

    model: Any
    """The compiled `mujoco.MjModel`, a copy: change it before `make_physics`, not here."""
    engine: str
    """Name of the engine: "c", "jax" or "warp"."""
    substeps: int
    outputs: tuple[str, ...]
    _engine: Any
    _derive: Derivation
    _place: Callable[[Array, Array], dict[str, Array]]
    _options: dict[str, Any]

    def __reduce__(self) -> tuple:
        # Engines hold locks and idle simulations: a copy in another process makes its own.
        return _remake, (self.model, self._options)

    @property
    def dt(self) -> float:
        """Seconds per `step`."""
        return self.substeps * float(self.model.opt.timestep)

    def reset(
        self,
        qpos: Float[Array, "nq"] | None = None,
        qvel: Float[Array, "nv"] | None = None,
        act: Float[Array, "na"] | None = None,
    ) -> PhysicsState:
        """A world at time 0; by default in the model's reference pose, at rest, not activated.

        Positions or velocities that are not finite, or larger than the limit, give the reference
        pose at rest with `bad_physics` set.
        """
        model = self.model
        qpos = model.qpos0 if qpos is None else qpos
        qvel = np.zeros(model.nv) if qvel is None else qvel
        act = np.zeros(model.na) if act is None else act
        given = {"qpos": (qpos, model.nq), "qvel": (qvel, model.nv), "act": (act, model.na)}
        arrays = {name: _vector(name, *value) for name, value in given.items()}
        state, raw = self._engine.reset(**arrays)
        return self._with_outputs(state, raw)

    def set_state(
        self,
        state: PhysicsState,
        qpos: Float[Array, "nq"] | None = None,
        qvel: Float[Array, "nv"] | None = None,
    ) -> PhysicsState:
        """The world moved or pushed: new positions or velocities, the rest kept, time restarted.

        The solver's warm start is dropped; `bad_physics` stays set where it was.
        """
        new = self.reset(
            state.qpos if qpos is None else qpos, state.qvel if qvel is None else qvel, state.act
        )
        return new.replace(bad_physics=new.bad_physics | state.bad_physics)

    def step(
        self,
        state: PhysicsState,
        ctrl: Float[Array, "nu"],
        body_force: Float[Array, "nbody 6"] | None = None,
    ) -> PhysicsState:
        """`substeps` steps of the physics with the control held, derived fields at the new state.

        `body_force` are forces, then torques, on the bodies' centres of mass, in the world frame,
        held likewise. A world that diverges (a number that is not finite, or beyond the limit, in
        the state or the control, or a warning of MuJoCo's under the engine `c`) is put in the
        model's reference pose at rest, at time 0, and `bad_physics` stays set until `reset`; no
        other world notices.
        """
        ctrl = _vector("ctrl", ctrl, self.model.nu)
        if body_force is not None:
            body_force = jnp.asarray(body_force, ctrl.dtype)
            if body_force.shape != (self.model.nbody, 6):
                raise InputError(
                    f"body_force has shape {body_force.shape}; give one force and torque per body, "
                    f"({self.model.nbody}, 6), and lift batches by vmap"
                )
        new, raw = self._engine.step(state, ctrl, body_force)
        return self._with_outputs(new, raw)

    def _with_outputs(self, state: PhysicsState, raw: dict[str, Array]) -> PhysicsState:
        return state.replace(**self._derive(raw), **self._place(state.qpos, state.qvel))


def make_physics(
    model: Any,
    *,
    engine: str = "auto",
    substeps: int = 1,
    outputs: tuple[str, ...] = DEFAULT_OUTPUTS,
    threads: int | None = None,
    limit: float = LIMIT,
    tuned: bool = True,
    iterations: int = 1,
    max_contacts: int | None = None,
    max_constraints: int | None = None,
) -> Physics:
    """Physics of a compiled `mujoco.MjModel`.

    - `engine`: "c" (MuJoCo on the CPU's threads), "jax" (MJX), "warp" (MJX-Warp, NVIDIA only) or
      "auto": what the variable JAXRL_REWARDS_PHYSICS names, else "c" where jax runs on the CPU and
      "jax" on an accelerator.
    - `substeps`: physics steps per control step, of `model.opt.timestep` each.
    - `outputs`: the derived fields wanted, of `OUTPUTS`; fewer are faster.
    - `threads`: engine `c`'s threads; by default JAXRL_REWARDS_PHYSICS_THREADS, else one per CPU
      that the process may use.
    - `limit`: a position or velocity beyond it counts as diverged.
    - `tuned`: engines `jax` and `warp` solve with Newton's method, `iterations` of it and four of
      its line search, whatever the model says (`mjx_engine.tune`); False keeps the model's options,
      of which MJX lacks the PGS solver. Engine `c` always keeps the model's options.
    - `iterations`: of that solver. More than one has no reverse-mode gradient, but is nearer to a
      converged solver where bodies of many joints stand on the ground.
    - `max_contacts`, `max_constraints`: engine `warp`'s buffers: contacts of all worlds together,
      constraint rows of one world.

    InputError for an unknown engine or output, for numbers below one, where the packages are
    missing, and, under `jax` and `warp`, for a model with a feature that they lack (see
    `unsupported_features`; a world that is to run on every engine calls `refuse_unsupported`).
    Engine `c` runs any model, with mocap bodies and the like as the model places them.
    """
    engine = _checked_engine(model, engine, substeps, outputs, iterations, limit)
    model = copy.copy(model)
    placed = _placed(model, outputs) if engine == "c" else ()
    derive = derivation(model, tuple(name for name in outputs if name not in placed))
    made = _make_engine(
        engine,
        model,
        substeps,
        derive.fields,
        limit,
        threads,
        iterations if tuned else None,
        max_contacts,
        max_constraints,
    )
    return Physics(
        model=model,
        engine=engine,
        substeps=substeps,
        outputs=tuple(outputs),
        _engine=made,
        _derive=derive,
        _place=site_motion(model, placed),
        _options={
            "engine": engine,
            "substeps": substeps,
            "outputs": tuple(outputs),
            "threads": threads,
            "limit": limit,
            "tuned": tuned,
            "iterations": iterations,
            "max_contacts": max_contacts,
            "max_constraints": max_constraints,
        },
    )


def _checked_engine(
    model: Any, engine: str, substeps: int, outputs: tuple[str, ...], iterations: int, limit: float
) -> str:
    """The engine to use; InputError for what `make_physics` cannot be given."""
    mujoco = require_mujoco()
    if not isinstance(model, mujoco.MjModel):
        raise InputError(
            f"make_physics got a {type(model).__name__}; give a compiled mujoco.MjModel "
            "(spec.compile() of an MjSpec)"
        )
    engine = choose_engine(engine)
    if substeps < 1:
        raise InputError(f"substeps is {substeps}; give at least 1")
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown:
        raise InputError(f"output {unknown[0]!r} is unknown; known are {', '.join(OUTPUTS)}")
    if iterations < 1:
        raise InputError(f"iterations is {iterations}; give at least 1")
    if not limit > 0:
        raise InputError(f"limit is {limit}; give a number above 0")
    return engine


def _remake(model: Any, options: dict[str, Any]) -> Physics:
    return make_physics(model, **options)


def _placed(model: Any, outputs: tuple[str, ...]) -> tuple[str, ...]:
    """Outputs that spare a pass of MuJoCo's: all that follow from the new state, or none."""
    of_state = [name for name in outputs if name not in ("actuator_force", "sensordata")]
    if "sensordata" in outputs and state_sensors(model).any():
        return ()
    if not has_closed_form(model) or any(name not in OF_SITES for name in of_state):
        return ()
    return tuple(of_state)


def choose_engine(engine: str = "auto") -> str:
    """The engine's name, "auto" resolved by JAXRL_REWARDS_PHYSICS and then by the device."""
    source = "engine"
    if engine == "auto":
        engine = os.environ.get(ENGINE_VARIABLE, "").strip().lower() or "auto"
        source = f"the environment variable {ENGINE_VARIABLE}"
    if engine == "auto":
        return "c" if jax.default_backend() == "cpu" else "jax"
    if engine not in ENGINES:
        raise InputError(f"{source} is {engine!r}; give one of auto, {', '.join(ENGINES)}")
    return engine


def _make_engine(
    engine: str,
    model: Any,
    substeps: int,
    fields: tuple[str, ...],
    limit: float,
    threads: int | None,
    iterations: int | None,
    max_contacts: int | None,
    max_constraints: int | None,
) -> Any:
    if engine == "c":
        from jaxrl_envs.physics.c_engine import CEngine

        return CEngine(model, substeps, fields, limit, _threads(threads))
    from jaxrl_envs.physics.mjx_engine import MjxEngine

    return MjxEngine(
        model,
        substeps,
        fields,
        limit,
        name=engine,
        iterations=iterations,
        max_contacts=max_contacts,
        max_constraints=max_constraints,
    )


def usable_cores() -> int:
    """CPUs that this process may use; all of the machine's where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _threads(given: int | None) -> int:
    source, value = "threads", given
    if value is None:
        text = os.environ.get(THREADS_VARIABLE, "")
        if not text:
            return usable_cores()
        source = f"the environment variable {THREADS_VARIABLE}"
        value = int(text) if text.isdigit() else 0
    if value < 1:
        raise InputError(f"{source} must be a whole number of at least 1")
    return value


def _vector(name: str, value: Any, size: int) -> Array:
    value = jnp.asarray(value, jnp.float32)
    if value.shape != (size,):
        raise InputError(
            f"{name} has shape {value.shape}; this model needs ({size},), and vmap lifts batches"
        )
    return value
