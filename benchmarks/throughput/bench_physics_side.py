"""One side of the physics benchmark: compiles once, then measures on request.

    python -m benchmarks.throughput.bench_physics_side SIDE BATCH SUBSTEPS STEPS [ENV]

Every answer holds `steps_per_second` (control steps of all worlds together). Sides `c`, `jax` and
`warp` are our physics; with ENV, that world under that engine, with auto-reset from a pool. Engine
`c` also answers `raw_steps_per_second`, MuJoCo's own batch on the very states and controls that the
callback was just given, and the shares of the time. `mjx` and `mjx-tuned` are plain MJX, `brax`,
`playground` and `loco` the humanoids of those libraries, `ppo-ENGINE` is PPO on ENV.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.throughput.process import serve

ENGINES = ("c", "jax", "warp")
Run = tuple[Any, Callable[[Any, jax.Array], Any]]
"""A batch of worlds and a function of it and a key: the batch STEPS control steps later, and what
else came of it."""


def humanoid() -> Any:
    """MuJoCo's humanoid of 27 degrees of freedom and 21 motors, as MJX tests with it."""
    import mujoco
    from jaxrl_envs.physics.versions import require_mjx

    folder = Path(require_mjx().__file__).parent / "test_data" / "humanoid"
    return mujoco.MjModel.from_xml_path(str(folder / "humanoid.xml"))


def our_physics(engine: str, batch: int, substeps: int, steps: int) -> tuple[Run, Any]:
    """Our physics under random controls."""
    from jaxrl_envs.physics import make_physics

    sizes = {"max_contacts": 32 * batch, "max_constraints": 256} if engine == "warp" else {}
    physics = make_physics(humanoid(), engine=engine, substeps=substeps, **sizes)
    start = jax.jit(jax.vmap(lambda _: physics.reset()))(jnp.arange(batch))

    def step(state: Any, key: jax.Array) -> tuple[Any, None]:
        return jax.vmap(physics.step)(state, _controls(key, (batch, physics.model.nu))), None

    return (start, _scanned(step, steps)), physics


def our_env(engine: str, batch: int, steps: int, name: str) -> tuple[Run, Any]:
    """A world with its observations and rewards, under random actions, reset from a pool.

    The actions are drawn beforehand, as raw MuJoCo's are: a policy's work is not the world's.
    """
    from jaxrl_envs.registry import make

    from jaxrl_rewards.rollout import AutoReset

    os.environ["JAXRL_REWARDS_PHYSICS"] = engine
    base = make(name)
    env = AutoReset(base, "pool")
    params = jax.jit(env.prepare)(jax.random.key(0), base.default_params())
    keys = jax.random.split(jax.random.key(1), batch)
    start, _ = jax.jit(jax.vmap(env.reset, (0, None)))(keys, params)
    draws = jax.random.split(jax.random.key(2), (steps, batch))
    actions = jax.jit(jax.vmap(jax.vmap(base.spec.action_space.sample)))(draws)

    def step(state: Any, given: tuple[jax.Array, Any]) -> tuple[Any, jax.Array]:
        key, action = given
        moves = jax.random.split(key, batch)
        state, timestep = jax.vmap(env.step, (0, 0, 0, None))(moves, state, action, params)
        # the sums keep observations and rewards from being optimised away
        used = jax.tree.map(lambda leaf: jnp.sum(leaf.astype(jnp.float32)), timestep.obs)
        return state, sum(jax.tree.leaves(used)) + timestep.reward.sum()

    def advance(state: Any, key: jax.Array) -> Any:
        return jax.lax.scan(step, state, (jax.random.split(key, steps), actions))

    return (start, advance), getattr(base, "physics", None)


def plain_mjx(batch: int, substeps: int, steps: int, tuned: bool) -> Run:
    """MJX as its documentation shows it."""
    from jaxrl_envs.physics.mjx_engine import tune
    from jaxrl_envs.physics.versions import require_mjx

    mjx, model = require_mjx(), humanoid()
    device_model = mjx.put_model(tune(model) if tuned else model)
    data = mjx.make_data(model)
    start = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (batch, *jnp.shape(leaf))), data)

    def step(data: Any, key: jax.Array) -> tuple[Any, None]:
        data = data.replace(ctrl=_controls(key, (batch, model.nu)))
        one = jax.vmap(functools.partial(mjx.step, device_model))
        return jax.lax.scan(lambda d, _: (one(d), None), data, None, length=substeps)[0], None

    return start, _scanned(step, steps)


def brax_humanoid(batch: int, steps: int) -> Run:
    """brax's humanoid on its MJX pipeline, with its observation and reward."""
    from brax import envs

    env = envs.get_environment("humanoid", backend="mjx")
    return _brax_like(env, batch, steps)


def playground_humanoid(batch: int, steps: int) -> Run:
    """MuJoCo Playground's humanoid from the DeepMind Control suite."""
    from mujoco_playground import registry

    return _brax_like(registry.load("HumanoidWalk"), batch, steps)


def loco_humanoid(batch: int, steps: int) -> Run:
    """loco-mujoco's torque humanoid on MJX."""
    from loco_mujoco.task_factories import RLFactory

    env = RLFactory.make("MjxSkeletonTorque")
    start = jax.vmap(env.mjx_reset)(jax.random.split(jax.random.PRNGKey(0), batch))
    size = env.info.action_space.shape[0]

    def step(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        state = jax.vmap(env.mjx_step)(state, _controls(key, (batch, size)))
        return state, state.reward.sum()

    return start, _scanned(step, steps)


def ppo(engine: str, batch: int, steps: int, name: str) -> tuple[Run, int]:
    """PPO on a world: one update of 16 steps per world, counted in samples."""
    from jaxrl_envs.registry import make

    from jaxrl_rewards.learners import PPOConfig, PPOHParams, make_ppo

    os.environ["JAXRL_REWARDS_PHYSICS"] = engine
    env = make(name)
    config = PPOConfig(num_envs=batch, unroll_length=16, hidden=(128, 128), auto_reset="pool")
    learner = make_ppo(env, config, hparams=PPOHParams(env_params=env.default_params()))
    updates = max(1, steps // 16)

    def run(state: Any, key: jax.Array) -> Any:
        del key
        update = lambda inner, _: (learner.update(inner, learner.hparams)[0], None)  # noqa: E731
        return jax.lax.scan(update, state, None, length=updates)

    start = jax.jit(lambda key: learner.init(key, learner.hparams))(jax.random.key(0))
    return (start, run), updates * 16


class Meter:
    """Times of engine `c`'s callback, and what it was given, over one measurement."""

    def __init__(self, engine: Any):
        self.given, self.callback, self.recording = [], 0.0, False
        host = engine._host_step

        def timed(packed: np.ndarray, given: np.ndarray, *results: np.ndarray) -> None:
            start = time.perf_counter()
            host(packed, given, *results)
            self.callback += time.perf_counter() - start
            if self.recording:
                self.given.append((packed.copy(), given.copy()))

        engine._host_step = timed

    def record(self, again: Callable[[], Any]) -> None:
        """Keep what the callback is given while the measured call is repeated, untimed."""
        self.given, self.recording = [], True
        jax.block_until_ready(again())
        self.recording = False

    def replay(self, model: Any, substeps: int, batch: int) -> tuple[float, float]:
        """Seconds and CPU seconds of MuJoCo's batch stepping the same states and controls."""
        from jaxrl_envs.physics import usable_cores
        from mujoco import batch as mujoco_batch

        if not hasattr(self, "raw"):
            self.raw = mujoco_batch.Batch(model, batch, usable_cores())
            self.raw.reset()
        ctrl = self.raw.bind("ctrl")
        seconds = cpu = 0.0
        for packed, given in self.given:
            rows = packed.reshape(batch, -1).view(np.float64)
            self.raw.state[:, : rows.shape[1]] = rows
            ctrl[:] = given.reshape(batch, -1)[:, : model.nu]
            start, used = time.perf_counter(), time.process_time()
            self.raw.step(nstep=substeps)
            seconds += time.perf_counter() - start
            cpu += time.process_time() - used
        return seconds, cpu


def main(arguments: list[str]) -> None:
    """Build the side, compile, and answer requests."""
    side, batch, substeps, steps = arguments[0], *(int(value) for value in arguments[1:4])
    name = arguments[4] if len(arguments) > 4 else ""
    physics, taken = None, steps
    if side in ENGINES and name:
        run, physics = our_env(side, batch, steps, name)
        substeps = physics.substeps if physics is not None else substeps
    elif side in ENGINES:
        run, physics = our_physics(side, batch, substeps, steps)
    elif side.startswith("ppo-"):
        run, taken = ppo(side.removeprefix("ppo-"), batch, steps, name)
    else:
        builders = {
            "mjx": lambda: plain_mjx(batch, substeps, steps, tuned=False),
            "mjx-tuned": lambda: plain_mjx(batch, substeps, steps, tuned=True),
            "brax": lambda: brax_humanoid(batch, steps),
            "playground": lambda: playground_humanoid(batch, steps),
            "loco": lambda: loco_humanoid(batch, steps),
        }
        run = builders[side]()
    meter = Meter(physics._engine) if side == "c" and physics is not None else None
    start, advance = run
    begun = time.perf_counter()
    compiled = jax.jit(advance).lower(start, jax.random.key(0)).compile()
    ready = {
        "compile_seconds": round(time.perf_counter() - begun, 2),
        "device": jax.devices()[0].device_kind,
    }
    holder = [jax.block_until_ready(compiled(start, jax.random.key(0)))[0]]
    count = [0]

    def measure() -> dict[str, Any]:
        count[0] += 1
        start, key = holder[0], jax.random.key(count[0])
        if meter:  # also brings caches and threads back after the other sides' turns
            meter.record(lambda: compiled(start, key))
            meter.callback = 0.0
        begun, used = time.perf_counter(), time.process_time()
        holder[0] = jax.block_until_ready(compiled(start, key))[0]
        seconds, cpu = time.perf_counter() - begun, time.process_time() - used
        out = {"steps_per_second": batch * taken / seconds}
        out["steps_per_cpu_second"] = batch * taken / cpu
        if meter:
            out["callback_share"] = meter.callback / seconds
            raw, raw_cpu = meter.replay(physics.model, substeps, batch)
            out["raw_steps_per_second"] = batch * taken / raw
            out["cpu_ratio_to_raw"] = raw_cpu / cpu
            out["mujoco_share"] = raw / seconds
        return out

    serve(ready, measure)


def _brax_like(env: Any, batch: int, steps: int) -> Run:
    keys = jax.random.split(jax.random.PRNGKey(0), batch)
    start = jax.jit(jax.vmap(env.reset))(keys)

    def step(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        state = jax.vmap(env.step)(state, _controls(key, (batch, env.action_size)))
        return state, state.reward.sum()

    return start, _scanned(step, steps)


def _scanned(step: Callable[[Any, jax.Array], Any], steps: int) -> Callable[[Any, jax.Array], Any]:
    """`steps` steps; gives what they give besides the state, so that it is computed."""

    def advance(state: Any, key: jax.Array) -> Any:
        return jax.lax.scan(step, state, jax.random.split(key, steps))

    return advance


def _controls(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0, dtype=jnp.float32)


if __name__ == "__main__":
    main(sys.argv[1:])
