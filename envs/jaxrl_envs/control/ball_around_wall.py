"""Push a ball around a wall, under MuJoCo; observations that a table can hold."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_rewards.core import Discrete, EnvSpec, Record, TimeStep, first_timestep, record
from jaxrl_rewards.core.quantities import Quantity
from jaxrl_rewards.rewards.base import Reward, reward_term

_MODEL = """
<mujoco>
  <option timestep="0.1" gravity="0 0 0"/>
  <worldbody>
    <geom name="wall" type="box" pos="0 -0.35 0" size="0.15 0.65 0.1"/>
    <geom type="box" pos="0 1.05 0" size="1.1 0.05 0.1"/>
    <geom type="box" pos="0 -1.05 0" size="1.1 0.05 0.1"/>
    <geom type="box" pos="1.05 0 0" size="0.05 1.1 0.1"/>
    <geom type="box" pos="-1.05 0 0" size="0.05 1.1 0.1"/>
    <body name="ball">
      <joint name="x" type="slide" axis="1 0 0" damping="1"/>
      <joint name="y" type="slide" axis="0 1 0" damping="1"/>
      <geom type="sphere" size="0.08" mass="0.5"/>
    </body>
  </worldbody>
  <actuator>
    <motor joint="x"/>
    <motor joint="y"/>
  </actuator>
</mujoco>
"""
GOAL, GAP = (0.7, -0.5), (0.0, 0.6)
_FORCES = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)

QUANTITIES = {
    "d_goal": Quantity((), "m", 1.0, -1, "Straight distance to the goal behind the wall."),
    "d_gap": Quantity((), "m", 0.7, -1, "Distance to the gap at the end of the wall."),
    "progress": Quantity((), "m", 0.1, 1, "How much nearer the goal came, straight."),
    "gap_progress": Quantity((), "m", 0.1, 1, "How much nearer the gap came; 0 behind the wall."),
    "passed": Quantity((), "flag", 1.0, 1, "1 where a step leads past the wall, -1 back."),
    "past_wall": Quantity((), "flag", 1.0, 1, "1 behind the wall."),
    "speed": Quantity((), "m/s", 0.5, 0, "Speed of the ball."),
    "stuck": Quantity((), "flag", 1.0, -1, "1 if the ball is pushed and hardly moves."),
    "effort": Quantity((), "flag", 1.0, -1, "1 if a force was applied."),
}


@record
class BallParams(Record):
    """Numbers of the task."""

    force: Float[Array, ""]
    """Newton."""
    max_steps: Int[Array, ""]
    reward: Reward


@record
class BallState(Record):
    """The physics and what the last step did."""

    physics: Any
    quantities: dict[str, Float[Array, ""]]
    at_goal: Array
    time: Int[Array, ""]


def arrived(prev: BallState, action: Array, nxt: BallState) -> Array:
    """Whether the step brought the ball to the goal."""
    return nxt.at_goal


class BallAroundWall:
    """Push a ball around a wall to a goal in its shadow; table-sized observations.

    - Observation: int32 number of the cell of place (8 x 8) and of the velocity's signs (3 x 3).
    - Action: 0 nothing, 1 to 4 a push along x or y.
    - Reward term: `arrived`. Termination: within 0.2 m of the goal. Truncation: 25 steps of 0.2 s.
    """

    cells, quantities = 8, QUANTITIES

    def __init__(self, max_steps: int = 25):
        import mujoco

        from jaxrl_envs.physics import make_physics

        model = mujoco.MjModel.from_xml_string(_MODEL)
        self.physics = make_physics(model, substeps=2, outputs=())
        self.num_states = self.cells**2 * 9
        self.spec = EnvSpec(
            name="ball-around-wall",
            observation_space=Discrete(self.num_states),
            action_space=Discrete(5),
            max_steps=max_steps,
            term_names=("arrived",),
        )

    def default_params(self) -> BallParams:
        """A force of 1.5 N."""
        return BallParams(
            force=jnp.float32(1.5),
            max_steps=jnp.int32(self.spec.max_steps),
            reward=1.0 * reward_term(arrived),
        )

    def reset(self, key: jax.Array, params: BallParams) -> tuple[BallState, TimeStep]:
        """The ball at rest on the near side."""
        low, high = jnp.array([-0.9, -0.8]), jnp.array([-0.4, -0.2])
        place = jax.random.uniform(key, (2,), minval=low, maxval=high, dtype=jnp.float32)
        physics = self.physics.reset(place)
        state = BallState(
            physics=physics,
            quantities=self._measure(physics, physics, jnp.zeros((), jnp.float32)),
            at_goal=jnp.zeros((), bool),
            time=jnp.zeros((), jnp.int32),
        )
        return state, first_timestep(self._observe(physics), params.reward.names, {})

    def step(
        self, key: jax.Array, state: BallState, action: Int[Array, ""], params: BallParams
    ) -> tuple[BallState, TimeStep]:
        """Push for a fifth of a second."""
        del key
        action = jnp.clip(action, 0, 4)
        physics = self.physics.step(state.physics, params.force * jnp.asarray(_FORCES)[action])
        pushed = (action > 0).astype(jnp.float32)
        nxt = BallState(
            physics=physics,
            quantities=self._measure(state.physics, physics, pushed),
            at_goal=_distance(physics, GOAL) < 0.2,
            time=state.time + 1,
        )
        out = params.reward.evaluate(state, action, nxt)
        obs = self._observe(physics)
        return nxt, TimeStep(
            obs=obs,
            reward=out.total,
            terms=out.terms,
            applicable=out.applicable,
            terminated=nxt.at_goal | physics.bad_physics,
            truncated=nxt.time >= params.max_steps,
            final_obs=obs,
            info={},
        )

    def _measure(self, before: Any, after: Any, pushed: Array) -> dict[str, Array]:
        goal, gap, speed = _distance(after, GOAL), _distance(after, GAP), _norm(after.qvel)
        was, now = (physics.qpos[0] > 0.15 for physics in (before, after))
        behind = now.astype(jnp.float32)
        return {
            "d_goal": goal,
            "d_gap": gap,
            "progress": _distance(before, GOAL) - goal,
            "gap_progress": jnp.where(was, 0.0, _distance(before, GAP) - gap),
            "passed": behind - was.astype(jnp.float32),
            "past_wall": behind,
            "speed": speed,
            "stuck": pushed * (speed < 0.1),
            "effort": pushed,
        }

    def _observe(self, physics: Any) -> Int[Array, ""]:
        place = jnp.clip((physics.qpos + 1.0) * 0.5 * self.cells, 0, self.cells - 1)
        x, y = place.astype(jnp.int32)
        signs = jnp.where(physics.qvel > 0.25, 2, jnp.where(physics.qvel < -0.25, 0, 1))
        return ((x * self.cells + y) * 9 + signs[0] * 3 + signs[1]).astype(jnp.int32)


def _norm(vector: Array) -> Array:
    return jnp.sqrt(jnp.sum(jnp.square(vector)) + 1e-12)


def _distance(physics: Any, point: tuple[float, float]) -> Array:
    return _norm(physics.qpos - jnp.asarray(point, jnp.float32))
