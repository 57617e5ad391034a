"""Collecting steps with a policy, and turning their rewards into advantages."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import Env, TimeStep, record
from jaxrl_rewards.credit.gae import gae
from jaxrl_rewards.learners.action_head import ActionHead
from jaxrl_rewards.networks.actor_critic import ActorCritic
from jaxrl_rewards.rewards.normalise import (
    init_term_statistics,
    normalised_total,
    update_term_statistics,
)
from jaxrl_rewards.rollout.autoreset import AutoReset
from jaxrl_rewards.rollout.normalise import (
    RunningMoments,
    discounted_returns,
    init_moments,
    normalise_observation,
    standard_deviation,
    update_moments,
)
from jaxrl_rewards.rollout.statistics import (
    EpisodeStatistics,
    init_statistics,
    update_statistics,
)


@record
class Worlds:
    """The worlds a learner acts in; leaves `[B, ...]`."""

    state: Any
    timestep: TimeStep
    carry: Any
    discounted: Float[Array, "B"]
    """Running discounted return, for reward normalisation."""


@record
class Normaliser:
    """Running statistics of observations, returns and reward terms; () where switched off."""

    obs: Any
    returns: Any
    terms: Any


@record
class Collected:
    """A rollout, time-major, and what it left behind."""

    worlds: Worlds
    normaliser: Normaliser
    obs: Any
    """As the network saw it (normalised)."""
    action: Any
    log_prob: Float[Array, "T B"]
    value: Float[Array, "T B"]
    next_value: Float[Array, "T B"]
    reward: Float[Array, "T B"]
    """As the learner uses it (normalised)."""
    raw_reward: Float[Array, "T B"]
    terms: dict[str, Float[Array, "T B"]]
    terminated: Bool[Array, "T B"]
    truncated: Bool[Array, "T B"]
    info: Any
    """The worlds' `info`, leaves `[T, B, ...]`; () unless kept."""
    first_carry: Any

    @property
    def done(self) -> Bool[Array, "T B"]:
        """Episode ends of either kind."""
        return self.terminated | self.truncated


class Collector:
    """Bundles a world, a policy and the static switches; its methods are pure."""

    def __init__(
        self,
        env: Env,
        network: ActorCritic,
        head: ActionHead,
        config: Any,
        *,
        keep_info: bool = False,
    ):
        self.env = AutoReset(env, config.auto_reset, pool_size=config.num_envs)
        self.network, self.head, self.config = network, head, config
        self.keep_info = keep_info

    def init(self, key: jax.Array, env_params: Any) -> Worlds:
        """Reset all worlds."""
        count = self.config.num_envs
        key_pool, key_reset = jax.random.split(key)
        params = self.env.prepare(key_pool, env_params)
        keys = jax.random.split(key_reset, count)
        state, timestep = jax.vmap(self.env.reset, in_axes=(0, None))(keys, params)
        carry = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), self.network.initial_carry()
        )
        return Worlds(
            state=state,
            timestep=timestep,
            carry=carry,
            discounted=jnp.zeros((count,), jnp.float32),
        )

    def init_normaliser(self, worlds: Worlds) -> Normaliser:
        """Empty statistics for what the config normalises."""
        config = self.config
        example = jax.tree.map(lambda leaf: leaf[0], worlds.timestep.obs)
        return Normaliser(
            obs=init_moments(example) if config.normalise_observations else (),
            returns=init_moments(jnp.zeros(())) if config.normalise_rewards else (),
            terms=init_term_statistics(tuple(worlds.timestep.terms))
            if config.normalise_terms
            else (),
        )

    def init_statistics(self) -> EpisodeStatistics:
        """Empty episode statistics."""
        return init_statistics(self.config.num_envs)

    def normalise(self, normaliser: Normaliser, obs: Any) -> Any:
        """The observation as the network sees it."""
        if isinstance(normaliser.obs, RunningMoments):
            return normalise_observation(normaliser.obs, obs)
        return obs

    def collect(
        self,
        key: jax.Array,
        params: Any,
        worlds: Worlds,
        normaliser: Normaliser,
        env_params: Any,
        discount: Float[Array, ""],
    ) -> Collected:
        """Take `unroll_length` steps in every world."""
        config, network, head = self.config, self.network, self.head
        key_pool, key_actions, key_envs = jax.random.split(key, 3)
        env_params_ready = self.env.prepare(key_pool, env_params)
        env_step = jax.vmap(self.env.advance, in_axes=(0, 0, 0, None))
        fresh_carry = network.initial_carry()

        def step(carry, drawn):
            state, timestep, memory = carry
            noise, env_draw = drawn
            obs = self.normalise(normaliser, timestep.obs)
            output, value, new_memory = network.apply(params, obs, memory)
            action, log_prob = head.draw(noise, output)
            state, nxt = env_step(env_draw, state, head.to_env(action), env_params_ready)
            # V(final_obs) is needed at time limits only, which most steps do not have.
            if config.time_limits == "termination":
                nxt = nxt.replace(terminated=nxt.done)
            cut = nxt.truncated & ~nxt.terminated
            final_value = jax.lax.cond(
                jnp.any(cut),
                lambda: network.critic(
                    params, self.normalise(normaliser, nxt.final_obs), new_memory
                ),
                lambda: jnp.zeros_like(value),
            )
            done = nxt.done
            new_memory = jax.tree.map(
                lambda leaf, start: jnp.where(
                    done.reshape(-1, *[1] * (leaf.ndim - 1)), start, leaf
                ),
                new_memory,
                fresh_carry,
            )
            out = (
                obs,
                action,
                log_prob,
                value,
                jnp.where(cut, final_value, 0.0),
                nxt.reward,
                nxt.terms,
                nxt.applicable,
                nxt.terminated,
                nxt.truncated,
                timestep.obs if config.normalise_observations else (),
                nxt.info if self.keep_info else (),
            )
            return (state, nxt, new_memory), out

        # All chance at once: a small draw inside the loop costs more than the world's step.
        noise = head.noise(key_actions, (config.unroll_length, config.num_envs))
        draws = jax.vmap(jax.vmap(lambda keys: self.env.draw(keys, env_params_ready)))(
            jax.random.split(key_envs, (config.unroll_length, config.num_envs, 2))
        )
        start = (worlds.state, worlds.timestep, worlds.carry)
        (state, timestep, memory), out = jax.lax.scan(step, start, (noise, draws))
        (obs, action, log_prob, value, final_value, reward, terms, applicable) = out[:8]
        terminated, truncated, raw_obs, info = out[8:]
        last_value = network.critic(params, self.normalise(normaliser, timestep.obs), memory)
        next_value = jnp.concatenate([value[1:], last_value[None]])
        next_value = jnp.where(truncated, final_value, next_value)

        scaled, discounted, normaliser = self._normalise_rewards(
            normaliser, env_params, reward, terms, applicable, terminated | truncated,
            worlds.discounted, discount,
        )  # fmt: skip
        if isinstance(normaliser.obs, RunningMoments):
            normaliser = normaliser.replace(obs=update_moments(normaliser.obs, raw_obs))
        return Collected(
            worlds=Worlds(state=state, timestep=timestep, carry=memory, discounted=discounted),
            normaliser=normaliser,
            obs=obs,
            action=action,
            log_prob=log_prob,
            value=value,
            next_value=next_value,
            reward=scaled,
            raw_reward=reward,
            terms=terms,
            terminated=terminated,
            truncated=truncated,
            info=info,
            first_carry=worlds.carry,
        )

    def _normalise_rewards(
        self, normaliser, env_params, reward, terms, applicable, done, accumulator, discount
    ):
        if self.config.normalise_terms:
            statistics = update_term_statistics(normaliser.terms, terms, applicable)
            normaliser = normaliser.replace(terms=statistics)
            reward = normalised_total(env_params.reward, statistics, terms, applicable)
        if self.config.normalise_rewards:
            accumulator, sums = discounted_returns(accumulator, reward, done, discount)
            returns = update_moments(normaliser.returns, sums)
            normaliser = normaliser.replace(returns=returns)
            reward = reward / standard_deviation(returns)
        return reward, accumulator, normaliser

    def credit(
        self,
        collected: Collected,
        discount: Float[Array, ""],
        trace_decay: Float[Array, ""],
        shards: int,
    ) -> dict[str, Any]:
        """Advantages and returns of the rollout, with what the loss needs; leaves `[T, B, ...]`."""
        advantage, returns = jax.vmap(
            lambda *leaves: gae(*leaves, discount, trace_decay), in_axes=1, out_axes=1
        )(
            collected.reward,
            collected.value,
            collected.next_value,
            collected.terminated,
            collected.truncated,
        )
        batch = {
            "obs": collected.obs,
            "action": collected.action,
            "log_prob": collected.log_prob,
            "advantage": advantage,
            "return": returns,
        }
        if self.config.clip_values:
            batch["value"] = collected.value
        return batch

    def update_statistics(
        self, statistics: EpisodeStatistics, collected: Collected
    ) -> EpisodeStatistics:
        """Add the rollout's raw rewards and ends."""
        return update_statistics(statistics, collected.raw_reward, collected.done)

    def metrics(self, collected: Collected, statistics: EpisodeStatistics) -> dict[str, Array]:
        """Episode statistics, and the mean of every reward term (0 where it did not apply)."""
        return {
            "episode_return": statistics.episode_return,
            "episode_length": statistics.episode_length,
            "episodes": statistics.episodes.astype(jnp.float32),
            "reward": jnp.mean(collected.raw_reward),
            **{f"term/{name}": jnp.mean(value) for name, value in collected.terms.items()},
        }
