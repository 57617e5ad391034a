"""Two-link swing-up with a motor at the elbow."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_envs.control.common import (
    finish_step,
    float_scalar,
    start_time,
    step_limit,
    wrap_angle,
)
from jaxrl_rewards.core import Box, Discrete, EnvSpec, Record, TimeStep, first_timestep, record
from jaxrl_rewards.rewards.base import Reward, reward_term

MAX_SPEED_1 = 4 * math.pi
MAX_SPEED_2 = 9 * math.pi


@record
class AcrobotParams(Record):
    """Numbers of the task; SI units, angles in radians."""

    gravity: Float[Array, ""]
    mass_1: Float[Array, ""]
    mass_2: Float[Array, ""]
    length_1: Float[Array, ""]
    centre_1: Float[Array, ""]
    """Distance of the first link's centre of mass from its joint."""
    centre_2: Float[Array, ""]
    inertia: Float[Array, ""]
    """Moment of inertia of either link."""
    torque: Float[Array, ""]
    """Torque of actions 0 (negative) and 2 (positive)."""
    tau: Float[Array, ""]
    """Seconds per step."""
    max_speed_1: Float[Array, ""]
    max_speed_2: Float[Array, ""]
    goal_height: Float[Array, ""]
    reset_bound: Float[Array, ""]
    max_steps: Int[Array, ""]
    reward: Reward


@record
class AcrobotState(Record):
    """Joint angles in [-π, π) (0 hangs down), their velocities, goal flag, steps taken."""

    theta_1: Float[Array, ""]
    theta_2: Float[Array, ""]
    theta_1_dot: Float[Array, ""]
    theta_2_dot: Float[Array, ""]
    at_goal: Bool[Array, ""]
    time: Int[Array, ""]


def time(prev: AcrobotState, action: Array, nxt: AcrobotState) -> Float[Array, ""]:
    """-1 per step, 0 on the step that reaches the goal."""
    return jnp.where(nxt.at_goal, 0.0, -1.0).astype(jnp.float32)


class Acrobot:
    """Swing the tip of a two-link pendulum above a height.

    - Observation: float32 `[cos θ1, sin θ1, cos θ2, sin θ2, θ1', θ2']`.
    - Action: 0, 1, 2 apply -1, 0, +1 N·m at the elbow; other integers are clipped. Reward terms
      see the torque.
    - Reward: `time`, -1 per step and 0 on the step that reaches the goal.
    - Termination: `-cos θ1 - cos(θ1 + θ2) > 1`. Truncation: 500 steps.
    - Source: Sutton 1996 and Sutton and Barto 2018, with the equations and numbers of gymnasium's
      `Acrobot-v1` (one Runge-Kutta step of order 4).
    """

    differentiable = True

    def __init__(self, max_steps: int = 500):
        self._max_steps = max_steps
        high = (1.0, 1.0, 1.0, 1.0, MAX_SPEED_1, MAX_SPEED_2)
        self.spec = EnvSpec(
            name="Acrobot-v1",
            observation_space=Box(tuple(-bound for bound in high), high, (6,)),
            action_space=Discrete(3),
            max_steps=max_steps,
            term_names=("time",),
        )

    def default_params(self) -> AcrobotParams:
        """gymnasium's numbers."""
        return AcrobotParams(
            gravity=float_scalar(9.8),
            mass_1=float_scalar(1.0),
            mass_2=float_scalar(1.0),
            length_1=float_scalar(1.0),
            centre_1=float_scalar(0.5),
            centre_2=float_scalar(0.5),
            inertia=float_scalar(1.0),
            torque=float_scalar(1.0),
            tau=float_scalar(0.2),
            max_speed_1=float_scalar(MAX_SPEED_1),
            max_speed_2=float_scalar(MAX_SPEED_2),
            goal_height=float_scalar(1.0),
            reset_bound=float_scalar(0.1),
            max_steps=step_limit(self._max_steps),
            reward=1.0 * reward_term(time),
        )

    def reset(self, key: jax.Array, params: AcrobotParams) -> tuple[AcrobotState, TimeStep]:
        """Both angles and velocities uniform in ±`reset_bound`."""
        start = (2.0 * jax.random.uniform(key, (4,), dtype=jnp.float32) - 1.0) * params.reset_bound
        state = AcrobotState(
            theta_1=start[0],
            theta_2=start[1],
            theta_1_dot=start[2],
            theta_2_dot=start[3],
            at_goal=jnp.zeros((), bool),
            time=start_time(),
        )
        return state, first_timestep(_observe(state), params.reward.names, {})

    def step(
        self, key: jax.Array, state: AcrobotState, action: Int[Array, ""], params: AcrobotParams
    ) -> tuple[AcrobotState, TimeStep]:
        """One Runge-Kutta step; deterministic."""
        del key
        torque = (jnp.clip(action, 0, 2) - 1).astype(jnp.float32) * params.torque
        start = (state.theta_1, state.theta_2, state.theta_1_dot, state.theta_2_dot)
        theta_1, theta_2, speed_1, speed_2 = _runge_kutta(start, torque, params)
        theta_1, theta_2 = wrap_angle(theta_1), wrap_angle(theta_2)
        at_goal = -jnp.cos(theta_1) - jnp.cos(theta_1 + theta_2) > params.goal_height
        nxt = AcrobotState(
            theta_1=theta_1,
            theta_2=theta_2,
            theta_1_dot=jnp.clip(speed_1, -params.max_speed_1, params.max_speed_1),
            theta_2_dot=jnp.clip(speed_2, -params.max_speed_2, params.max_speed_2),
            at_goal=at_goal,
            time=state.time + 1,
        )
        return nxt, finish_step(state, torque, nxt, _observe(nxt), at_goal, params)


def _observe(state: AcrobotState) -> Float[Array, "6"]:
    return jnp.stack(
        [
            jnp.cos(state.theta_1),
            jnp.sin(state.theta_1),
            jnp.cos(state.theta_2),
            jnp.sin(state.theta_2),
            state.theta_1_dot,
            state.theta_2_dot,
        ]
    )


def _runge_kutta(start: tuple, torque: Array, params: AcrobotParams) -> tuple:
    def shifted(slope: tuple, share: float) -> tuple:
        return tuple(s + share * params.tau * k for s, k in zip(start, slope, strict=True))

    k1 = _derivative(start, torque, params)
    k2 = _derivative(shifted(k1, 0.5), torque, params)
    k3 = _derivative(shifted(k2, 0.5), torque, params)
    k4 = _derivative(shifted(k3, 1.0), torque, params)
    return tuple(
        s + params.tau / 6.0 * (a + 2.0 * b + 2.0 * c + d)
        for s, a, b, c, d in zip(start, k1, k2, k3, k4, strict=True)
    )


def _derivative(state: tuple, torque: Array, params: AcrobotParams) -> tuple:
    """Time derivative of (θ1, θ2, θ1', θ2'), equations of Sutton and Barto's book."""
    theta_1, theta_2, speed_1, speed_2 = state
    m1, m2, l1 = params.mass_1, params.mass_2, params.length_1
    c1, c2, inertia, g = params.centre_1, params.centre_2, params.inertia, params.gravity
    cosine, sine = jnp.cos(theta_2), jnp.sin(theta_2)
    d1 = m1 * c1 * c1 + m2 * (l1 * l1 + c2 * c2 + 2.0 * l1 * c2 * cosine) + 2.0 * inertia
    d2 = m2 * (c2 * c2 + l1 * c2 * cosine) + inertia
    phi2 = m2 * c2 * g * jnp.sin(theta_1 + theta_2)
    coupling = m2 * l1 * c2 * sine
    phi1 = (
        -coupling * speed_2 * speed_2
        - 2.0 * coupling * speed_2 * speed_1
        + (m1 * c1 + m2 * l1) * g * jnp.sin(theta_1)
        + phi2
    )
    ratio = d2 / d1
    acceleration_2 = (torque + ratio * phi1 - coupling * speed_1 * speed_1 - phi2) / (
        m2 * c2 * c2 + inertia - d2 * ratio
    )
    acceleration_1 = -(d2 * acceleration_2 + phi1) / d1
    return speed_1, speed_2, acceleration_1, acceleration_2
