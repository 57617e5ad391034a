"""Episodes that end once: a world that stands still after its end."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxrl_rewards.core import Env, EnvSpec, TimeStep, record
from jaxrl_rewards.rollout.contain import contain
from jaxrl_rewards.rollout.select import select


@record
class StandstillState:
    """The inner state, and what the world showed last."""

    inner: Any
    timestep: TimeStep


class Standstill:
    """Keeps state and observation as they were once the episode has ended; rewards are then 0.

    What a world shows of an ended episode is meaningless, and may not be finite: nobody sees it. A
    world that breaks is contained likewise. The counterpart of `AutoReset` for learners that score
    whole episodes.
    """

    def __init__(self, env: Env):
        self.env = env
        self.spec: EnvSpec = env.spec

    def default_params(self) -> Any:
        """Default params of the inner world."""
        return self.env.default_params()

    def alive(self, timestep: TimeStep) -> Bool[Array, "..."]:
        """Whether the episode still runs after `timestep`."""
        return ~timestep.done

    def reset(self, key: jax.Array, params: Any) -> tuple[StandstillState, TimeStep]:
        """Start the episode."""
        inner, timestep = self.env.reset(key, params)
        timestep = contain(timestep)
        timestep = timestep.replace(final_obs=timestep.obs)
        return StandstillState(inner=inner, timestep=timestep), timestep

    def draw(self, keys: jax.Array, params: Any) -> jax.Array:
        """What chance gives one step, from two keys `[2]`: the first."""
        return keys[0]

    def step(
        self, key: jax.Array, state: StandstillState, action: Any, params: Any
    ) -> tuple[StandstillState, TimeStep]:
        """Step, or stand still."""
        return self.advance(key, state, action, params)

    def advance(
        self, draw: jax.Array, state: StandstillState, action: Any, params: Any
    ) -> tuple[StandstillState, TimeStep]:
        """`step` with what was drawn before."""
        before = state.timestep
        inner, timestep = self.env.step(draw, state.inner, action, params)
        nothing = jax.tree.map(
            jnp.zeros_like, (before.reward, before.terms, before.applicable, before.broken)
        )
        still = before.replace(
            reward=nothing[0], terms=nothing[1], applicable=nothing[2], broken=nothing[3]
        )
        timestep = contain(timestep)
        timestep = select(before.done, still, timestep.replace(final_obs=timestep.obs))
        inner = select(before.done, state.inner, inner)
        return StandstillState(inner=inner, timestep=timestep), timestep
