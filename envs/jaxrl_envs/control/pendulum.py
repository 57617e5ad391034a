"""Pendulum swing-up."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrl_envs.control.common import (
    finish_step,
    float_scalar,
    safe_scalar_action,
    start_time,
    step_limit,
    wrap_angle,
)
from jaxrl_rewards.core import Box, EnvSpec, Record, TimeStep, first_timestep, record
from jaxrl_rewards.rewards.base import Reward, reward_term


@record
class PendulumParams(Record):
    """Numbers of the task; SI units, angles in radians."""

    gravity: Float[Array, ""]
    mass: Float[Array, ""]
    length: Float[Array, ""]
    tau: Float[Array, ""]
    """Seconds per step."""
    max_speed: Float[Array, ""]
    max_torque: Float[Array, ""]
    reset_angle: Float[Array, ""]
    """The angle starts uniformly in ± this."""
    reset_speed: Float[Array, ""]
    max_steps: Int[Array, ""]
    reward: Reward


@record
class PendulumState(Record):
    """Angle from upright in [-π, π), angular velocity, steps taken."""

    theta: Float[Array, ""]
    theta_dot: Float[Array, ""]
    time: Int[Array, ""]


def angle(prev: PendulumState, action: Array, nxt: PendulumState) -> Float[Array, ""]:
    """Squared angle from upright before the step, in [0, π²]."""
    return jnp.square(prev.theta)


def velocity(prev: PendulumState, action: Array, nxt: PendulumState) -> Float[Array, ""]:
    """Squared angular velocity before the step, in [0, max_speed²]."""
    return jnp.square(prev.theta_dot)


def torque(prev: PendulumState, action: Array, nxt: PendulumState) -> Float[Array, ""]:
    """Squared applied torque, in [0, max_torque²]."""
    return jnp.square(action)


class Pendulum:
    """Swing a pendulum up and hold it there with a weak motor.

    - Observation: float32 `[cos(theta), sin(theta), theta_dot]`; 0 is upright.
    - Action: float32 `[torque]` in ±2, clipped; a non-finite torque counts as 0.
    - Reward: `-angle - 0.1 velocity - 0.001 torque` (squares; the torque as applied).
    - Termination: none. Truncation: 200 steps.
    - Source: the equations and numbers of gymnasium's `Pendulum-v1` (semi-implicit Euler). The
      angle is kept wrapped, which leaves observations and rewards as they are.
    """

    differentiable = True

    def __init__(self, max_steps: int = 200):
        self._max_steps = max_steps
        self.spec = EnvSpec(
            name="Pendulum-v1",
            observation_space=Box((-1.0, -1.0, -8.0), (1.0, 1.0, 8.0), (3,)),
            action_space=Box(-2.0, 2.0, (1,)),
            max_steps=max_steps,
            term_names=("angle", "velocity", "torque"),
        )

    def default_params(self) -> PendulumParams:
        """gymnasium's numbers."""
        return PendulumParams(
            gravity=float_scalar(10.0),
            mass=float_scalar(1.0),
            length=float_scalar(1.0),
            tau=float_scalar(0.05),
            max_speed=float_scalar(8.0),
            max_torque=float_scalar(2.0),
            reset_angle=float_scalar(math.pi),
            reset_speed=float_scalar(1.0),
            max_steps=step_limit(self._max_steps),
            reward=-1.0 * reward_term(angle)
            - 0.1 * reward_term(velocity)
            - 0.001 * reward_term(torque),
        )

    def reset(self, key: jax.Array, params: PendulumParams) -> tuple[PendulumState, TimeStep]:
        """Angle uniform in ±`reset_angle`, velocity uniform in ±`reset_speed`."""
        unit = 2.0 * jax.random.uniform(key, (2,), dtype=jnp.float32) - 1.0
        state = PendulumState(
            theta=wrap_angle(unit[0] * params.reset_angle),
            theta_dot=unit[1] * params.reset_speed,
            time=start_time(),
        )
        return state, first_timestep(_observe(state), params.reward.names, {})

    def step(
        self,
        key: jax.Array,
        state: PendulumState,
        action: Float[Array, "1"],
        params: PendulumParams,
    ) -> tuple[PendulumState, TimeStep]:
        """One semi-implicit Euler step; deterministic."""
        del key
        applied = safe_scalar_action(action, params.max_torque)
        acceleration = (
            1.5 * params.gravity / params.length * jnp.sin(state.theta)
            + 3.0 / (params.mass * jnp.square(params.length)) * applied
        )
        speed = state.theta_dot + acceleration * params.tau
        speed = jnp.clip(speed, -params.max_speed, params.max_speed)
        nxt = PendulumState(
            theta=wrap_angle(state.theta + speed * params.tau),
            theta_dot=speed,
            time=state.time + 1,
        )
        never = jnp.zeros((), bool)
        return nxt, finish_step(state, applied, nxt, _observe(nxt), never, params)


def _observe(state: PendulumState) -> Float[Array, "3"]:
    return jnp.stack([jnp.cos(state.theta), jnp.sin(state.theta), state.theta_dot])
