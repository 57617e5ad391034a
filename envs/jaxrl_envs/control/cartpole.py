"""Cart-pole balancing."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrl_envs.control.common import finish_step, float_scalar, start_time, step_limit
from jaxrl_rewards.core import Box, Discrete, EnvSpec, Record, TimeStep, first_timestep, record
from jaxrl_rewards.rewards.base import Reward, reward_term

X_LIMIT = 2.4
ANGLE_LIMIT = 12 * 2 * math.pi / 360


@record
class CartPoleParams(Record):
    """Numbers of the task; SI units, angles in radians."""

    gravity: Float[Array, ""]
    masscart: Float[Array, ""]
    masspole: Float[Array, ""]
    length: Float[Array, ""]
    """Half the length of the pole."""
    force_mag: Float[Array, ""]
    tau: Float[Array, ""]
    """Seconds per step."""
    x_threshold: Float[Array, ""]
    theta_threshold: Float[Array, ""]
    reset_bound: Float[Array, ""]
    """Each state variable starts uniformly in ± this."""
    max_steps: Int[Array, ""]
    reward: Reward


@record
class CartPoleState(Record):
    """Cart position and velocity, pole angle and angular velocity, steps taken."""

    x: Float[Array, ""]
    x_dot: Float[Array, ""]
    theta: Float[Array, ""]
    theta_dot: Float[Array, ""]
    time: Int[Array, ""]


def alive(prev: CartPoleState, action: Array, nxt: CartPoleState) -> Float[Array, ""]:
    """1 for every step taken, the last one included."""
    return jnp.ones((), jnp.float32)


class CartPole:
    """Keep a pole upright on a cart.

    - Observation: float32 `[x, x_dot, theta, theta_dot]`.
    - Action: 0 pushes left, 1 pushes right; any other integer pushes left.
    - Reward: `alive`, 1 per step.
    - Termination: |x| > 2.4 or |theta| > 12 degrees (a non-finite state also ends the episode).
      Truncation: 500 steps.
    - Source: Barto, Sutton and Anderson 1983, with the equations and numbers of gymnasium's
      `CartPole-v1` (explicit Euler).
    """

    differentiable = True

    def __init__(self, max_steps: int = 500):
        self._max_steps = max_steps
        high = (2 * X_LIMIT, math.inf, 2 * ANGLE_LIMIT, math.inf)
        self.spec = EnvSpec(
            name="CartPole-v1",
            observation_space=Box(tuple(-bound for bound in high), high, (4,)),
            action_space=Discrete(2),
            max_steps=max_steps,
            term_names=("alive",),
        )

    def default_params(self) -> CartPoleParams:
        """gymnasium's numbers."""
        return CartPoleParams(
            gravity=float_scalar(9.8),
            masscart=float_scalar(1.0),
            masspole=float_scalar(0.1),
            length=float_scalar(0.5),
            force_mag=float_scalar(10.0),
            tau=float_scalar(0.02),
            x_threshold=float_scalar(X_LIMIT),
            theta_threshold=float_scalar(ANGLE_LIMIT),
            reset_bound=float_scalar(0.05),
            max_steps=step_limit(self._max_steps),
            reward=1.0 * reward_term(alive),
        )

    def reset(self, key: jax.Array, params: CartPoleParams) -> tuple[CartPoleState, TimeStep]:
        """All four variables uniform in ±`reset_bound`."""
        start = (2.0 * jax.random.uniform(key, (4,), dtype=jnp.float32) - 1.0) * params.reset_bound
        state = CartPoleState(
            x=start[0], x_dot=start[1], theta=start[2], theta_dot=start[3], time=start_time()
        )
        return state, first_timestep(start, params.reward.names, {})

    def step(
        self, key: jax.Array, state: CartPoleState, action: Int[Array, ""], params: CartPoleParams
    ) -> tuple[CartPoleState, TimeStep]:
        """One Euler step; deterministic."""
        del key
        total_mass = params.masscart + params.masspole
        polemass_length = params.masspole * params.length
        force = jnp.where(action == 1, params.force_mag, -params.force_mag)
        cosine, sine = jnp.cos(state.theta), jnp.sin(state.theta)
        inverse_mass = 1.0 / total_mass
        push = (force + polemass_length * state.theta_dot * state.theta_dot * sine) * inverse_mass
        angular = (params.gravity * sine - cosine * push) / (
            params.length * (4.0 / 3.0 - params.masspole * cosine * cosine * inverse_mass)
        )
        linear = push - polemass_length * angular * cosine * inverse_mass
        nxt = CartPoleState(
            x=state.x + params.tau * state.x_dot,
            x_dot=state.x_dot + params.tau * linear,
            theta=state.theta + params.tau * state.theta_dot,
            theta_dot=state.theta_dot + params.tau * angular,
            time=state.time + 1,
        )
        upright = (jnp.abs(nxt.x) <= params.x_threshold) & (
            jnp.abs(nxt.theta) <= params.theta_threshold
        )
        obs = jnp.stack([nxt.x, nxt.x_dot, nxt.theta, nxt.theta_dot])
        return nxt, finish_step(state, action, nxt, obs, ~upright, params)
