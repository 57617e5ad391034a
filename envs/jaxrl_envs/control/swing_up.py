"""The pendulum's swing-up as a table can play it: few states, three actions."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_envs.registry import make
from jaxrl_rewards.core import Discrete, TimeStep


class SwingUp:
    """The pendulum with a weak motor, for a table as policy.

    - Observation: int32 number of the cell of angle x angular velocity.
    - Action: 0, 1, 2: full torque one way, none, full torque the other way.
    - Termination: none. Truncation: `max_steps`. The rest is that of `Pendulum-v1`.
    """

    angles, speeds = 25, 21

    def __init__(self, max_steps: int = 100):
        self.inner = make("Pendulum-v1", max_steps=max_steps)
        self.num_states = self.angles * self.speeds
        self.spec = dataclasses.replace(
            self.inner.spec,
            name="swing-up",
            observation_space=Discrete(self.num_states),
            action_space=Discrete(3),
        )

    def default_params(self) -> Any:
        """Those of the pendulum, at a tenth of a second per step."""
        return self.inner.default_params().replace(tau=jnp.float32(0.1))

    def reset(self, key: jax.Array, params: Any) -> tuple[Any, TimeStep]:
        """The pendulum's start."""
        return self._seen(*self.inner.reset(key, params), params)

    def step(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, TimeStep]:
        """One step with the torque that the action stands for."""
        torque = (jnp.asarray(action, jnp.float32) - 1.0) * params.max_torque
        return self._seen(*self.inner.step(key, state, torque[None], params), params)

    def _seen(self, state: Any, timestep: TimeStep, params: Any) -> tuple[Any, TimeStep]:
        angle = jnp.floor((state.theta / (2.0 * jnp.pi) + 0.5) * self.angles)
        speed = jnp.floor((state.theta_dot / params.max_speed + 1.0) * 0.5 * self.speeds)
        cell = jnp.clip(angle, 0, self.angles - 1) * self.speeds
        cell = (cell + jnp.clip(speed, 0, self.speeds - 1)).astype(jnp.int32)
        return state, timestep.replace(obs=cell, final_obs=cell)
