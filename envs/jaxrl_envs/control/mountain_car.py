"""The car in the valley, with three pushes or a continuous one."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_envs.control.common import (
    finish_step,
    float_scalar,
    safe_scalar_action,
    start_time,
    step_limit,
)
from jaxrl_rewards.core import Box, Discrete, EnvSpec, Record, TimeStep, first_timestep, record
from jaxrl_rewards.rewards.base import Reward, reward_term


@record
class MountainCarParams(Record):
    """Numbers of the task."""

    power: Float[Array, ""]
    """Change of velocity per step at full push."""
    gravity: Float[Array, ""]
    min_position: Float[Array, ""]
    max_position: Float[Array, ""]
    max_speed: Float[Array, ""]
    goal_position: Float[Array, ""]
    goal_velocity: Float[Array, ""]
    reset_low: Float[Array, ""]
    reset_high: Float[Array, ""]
    max_steps: Int[Array, ""]
    reward: Reward


@record
class MountainCarState(Record):
    """Position, velocity, whether the goal is reached, steps taken."""

    position: Float[Array, ""]
    velocity: Float[Array, ""]
    at_goal: Bool[Array, ""]
    time: Int[Array, ""]


def time(prev: MountainCarState, action: Array, nxt: MountainCarState) -> Float[Array, ""]:
    """-1 for every step taken."""
    return -jnp.ones((), jnp.float32)


def goal(prev: MountainCarState, action: Array, nxt: MountainCarState) -> Float[Array, ""]:
    """1 on the step that reaches the goal, else 0."""
    return nxt.at_goal.astype(jnp.float32)


def effort(prev: MountainCarState, action: Array, nxt: MountainCarState) -> Float[Array, ""]:
    """Squared push as applied, in [0, 1]."""
    return jnp.square(action)


class _MountainCarBase:
    """Reset and dynamics that both variants share; `push` in [-1, 1]."""

    differentiable = True
    spec: EnvSpec

    def reset(self, key: jax.Array, params: MountainCarParams) -> tuple[MountainCarState, TimeStep]:
        """At rest, position uniform between `reset_low` and `reset_high`."""
        span = params.reset_high - params.reset_low
        state = MountainCarState(
            position=params.reset_low + jax.random.uniform(key, (), dtype=jnp.float32) * span,
            velocity=jnp.zeros((), jnp.float32),
            at_goal=jnp.zeros((), bool),
            time=start_time(),
        )
        return state, first_timestep(_observe(state), params.reward.names, {})

    def _advance(
        self, state: MountainCarState, push: Float[Array, ""], params: MountainCarParams
    ) -> tuple[MountainCarState, TimeStep]:
        velocity = state.velocity + push * params.power
        velocity = velocity - params.gravity * jnp.cos(3.0 * state.position)
        velocity = jnp.clip(velocity, -params.max_speed, params.max_speed)
        position = state.position + velocity
        position = jnp.clip(position, params.min_position, params.max_position)
        at_wall = (position <= params.min_position) & (velocity < 0)
        velocity = jnp.where(at_wall, 0.0, velocity)
        at_goal = (position >= params.goal_position) & (velocity >= params.goal_velocity)
        nxt = MountainCarState(
            position=position, velocity=velocity, at_goal=at_goal, time=state.time + 1
        )
        return nxt, finish_step(state, push, nxt, _observe(nxt), at_goal, params)


class MountainCar(_MountainCarBase):
    """Rock an underpowered car up a hill.

    - Observation: float32 `[position, velocity]`.
    - Action: 0 pushes left, 1 nothing, 2 right; other integers are clipped. Reward terms see the
      push, -1, 0 or 1.
    - Reward: `time`, -1 per step.
    - Termination: position >= 0.5 with velocity >= 0. Truncation: 200 steps.
    - Source: Moore 1990, with the equations and numbers of gymnasium's `MountainCar-v0`.
    """

    def __init__(self, max_steps: int = 200):
        self._max_steps = max_steps
        self.spec = EnvSpec(
            name="MountainCar-v0",
            observation_space=Box((-1.2, -0.07), (0.6, 0.07), (2,)),
            action_space=Discrete(3),
            max_steps=max_steps,
            term_names=("time",),
        )

    def default_params(self) -> MountainCarParams:
        """gymnasium's numbers."""
        return _params(0.001, 0.5, self._max_steps, 1.0 * reward_term(time))

    def step(
        self,
        key: jax.Array,
        state: MountainCarState,
        action: Int[Array, ""],
        params: MountainCarParams,
    ) -> tuple[MountainCarState, TimeStep]:
        """One step; deterministic."""
        del key
        push = (jnp.clip(action, 0, 2) - 1).astype(jnp.float32)
        return self._advance(state, push, params)


class MountainCarContinuous(_MountainCarBase):
    """Rock an underpowered car up a hill with as little effort as may be.

    - Observation: float32 `[position, velocity]`.
    - Action: float32 `[push]` in ±1, clipped; a non-finite push counts as 0.
    - Reward: `100 goal - 0.1 effort` (effort of the push as applied).
    - Termination: position >= 0.45 with velocity >= 0. Truncation: 999 steps.
    - Source: the equations and numbers of gymnasium's `MountainCarContinuous-v0`.
    """

    def __init__(self, max_steps: int = 999):
        self._max_steps = max_steps
        self.spec = EnvSpec(
            name="MountainCarContinuous-v0",
            observation_space=Box((-1.2, -0.07), (0.6, 0.07), (2,)),
            action_space=Box(-1.0, 1.0, (1,)),
            max_steps=max_steps,
            term_names=("goal", "effort"),
        )

    def default_params(self) -> MountainCarParams:
        """gymnasium's numbers."""
        reward = 100.0 * reward_term(goal) - 0.1 * reward_term(effort)
        return _params(0.0015, 0.45, self._max_steps, reward)

    def step(
        self,
        key: jax.Array,
        state: MountainCarState,
        action: Float[Array, "1"],
        params: MountainCarParams,
    ) -> tuple[MountainCarState, TimeStep]:
        """One step; deterministic."""
        del key
        return self._advance(state, safe_scalar_action(action, 1.0), params)


def _params(
    power: float, goal_position: float, max_steps: int, reward: Reward
) -> MountainCarParams:
    return MountainCarParams(
        power=float_scalar(power),
        gravity=float_scalar(0.0025),
        min_position=float_scalar(-1.2),
        max_position=float_scalar(0.6),
        max_speed=float_scalar(0.07),
        goal_position=float_scalar(goal_position),
        goal_velocity=float_scalar(0.0),
        reset_low=float_scalar(-0.6),
        reset_high=float_scalar(-0.4),
        max_steps=step_limit(max_steps),
        reward=reward,
    )


def _observe(state: MountainCarState) -> Float[Array, "2"]:
    return jnp.stack([state.position, state.velocity])
