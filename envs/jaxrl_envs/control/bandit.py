"""A contextual bandit: one step, eight arms, and a context that says which is good."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core import Box, Discrete, EnvSpec, TimeStep, first_timestep, record
from jaxrl_rewards.rewards.base import Reward, RewardTerm


@record
class ArmReward(RewardTerm):
    """Reward of the chosen arm in the context, with noise drawn at reset."""

    name = "arm"

    def value(self, prev: Any, action: Any, nxt: Any) -> jax.Array:
        """The chosen arm's mean plus the step's noise."""
        return nxt.means[action] + nxt.noise[action]


@record
class BanditParams:
    """The reward."""

    reward: Reward


@record
class BanditState:
    """Means and noise of the arms in this context."""

    context: jax.Array
    means: jax.Array
    noise: jax.Array


class ContextualBandit:
    """Eight arms whose means are a fixed random linear function of a 4-d context.

    Observation: the context, float32 `[4]`. Action: the arm. Reward: its mean, squashed to
    (0, 1), plus noise of deviation 0.1. One step.
    """

    spec = EnvSpec("contextual-bandit", Box(-5.0, 5.0, (4,)), Discrete(8), 1, ("arm",))

    def __init__(self) -> None:
        self.weights = np.random.default_rng(7).normal(size=(4, 8)).astype(np.float32)

    def default_params(self) -> BanditParams:
        """The arm's reward with weight 1."""
        return BanditParams(reward=ArmReward())

    def reset(self, key: jax.Array, params: BanditParams) -> tuple[BanditState, TimeStep]:
        """Draw a context."""
        key_context, key_noise = jax.random.split(key)
        context = jnp.clip(jax.random.normal(key_context, (4,), dtype=jnp.float32), -5.0, 5.0)
        state = BanditState(
            context=context,
            means=jax.nn.sigmoid(context @ self.weights),
            noise=0.1 * jax.random.normal(key_noise, (8,), dtype=jnp.float32),
        )
        return state, first_timestep(context, params.reward.names, {})

    def step(
        self, key: jax.Array, state: BanditState, action: jax.Array, params: BanditParams
    ) -> tuple[BanditState, TimeStep]:
        """Pull an arm."""
        out = params.reward.evaluate(state, action, state)
        yes = jnp.ones((), bool)
        return state, TimeStep(
            obs=state.context,
            reward=out.total,
            terms=out.terms,
            applicable=out.applicable,
            terminated=yes,
            truncated=~yes,
            final_obs=state.context,
            info={},
        )
