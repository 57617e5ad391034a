"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) as an (init, update) pair.

The whole update (rollout, credit, epochs of minibatches) is one pure function of the learner state
and the hyper-parameters. Hyper-parameters hold the world's params and with them the reward, so a
`vmap` over hyper-parameters trains many candidate rewards in one compile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_rewards.core import Env, EnvSpec, Record, Trajectories, record
from jaxrl_rewards.credit.gae import gae
from jaxrl_rewards.learners.acting import acting, actor_critic_policy, valid_actions
from jaxrl_rewards.learners.action_head import ActionHead, action_head
from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics
from jaxrl_rewards.learners.config import (
    CollectConfig,
    NetworkConfig,
    OptimiseConfig,
    check_world,
)
from jaxrl_rewards.learners.epochs import epochs_of_minibatches, needs_own_rates
from jaxrl_rewards.learners.hparams import at_step
from jaxrl_rewards.learners.normaliser import (
    init_normaliser,
    normalise_rewards,
    seen,
    update_observations,
)
from jaxrl_rewards.learners.optimise import group_names
from jaxrl_rewards.learners.ppo_loss import Batch
from jaxrl_rewards.learners.presets import preset
from jaxrl_rewards.networks.actor_critic import ActorCritic, mlp_actor_critic
from jaxrl_rewards.rollout.autoreset import AutoReset
from jaxrl_rewards.rollout.collect import Worlds, collect, start_worlds
from jaxrl_rewards.rollout.statistics import EpisodeStatistics, init_statistics, update_statistics


@dataclasses.dataclass(frozen=True)
class PPOConfig(CollectConfig, OptimiseConfig, NetworkConfig):
    """Static sizes and switches of PPO; part of the compile key."""

    @classmethod
    def for_env(cls, name: str, **changes: Any) -> PPOConfig:
        """The sizes of the recipe for the world `name`, with `changes`."""
        return dataclasses.replace(preset(name).config, **changes)

    def __post_init__(self):
        CollectConfig.__post_init__(self)
        OptimiseConfig.__post_init__(self)
        if self.adapt_to_kl and self.share_trunk:
            raise ValueError("adapt_to_kl needs separate actor and critic networks")
        if self.num_envs % self.shuffle_shards:
            raise ValueError(
                f"shuffle_shards={self.shuffle_shards} must divide num_envs={self.num_envs}"
            )
        steps = self.num_envs // self.shuffle_shards * self.unroll_length
        if steps % self.num_minibatches:
            raise ValueError(
                f"num_minibatches={self.num_minibatches} must divide the {steps} steps of a shard"
            )


@record
class PPOHParams(Record):
    """Sweepable numbers; every leaf may be an array with a `vmap` axis, or a schedule."""

    env_params: Any
    """Params of the world, with the reward."""
    learning_rate: Any = 2.5e-4
    discount: Any = 0.99
    trace_decay: Any = 0.95
    """λ of generalised advantage estimation."""
    clip: Any = 0.2
    entropy_coefficient: Any = 0.01
    value_coefficient: Any = 0.5
    max_grad_norm: Any = 0.5
    critic_learning_rate: Any = None
    """The critic's own rate; None for `learning_rate`."""
    target_kl: Any = 0.06
    """KL divergence of old to new policy per update, with `adapt_to_kl`; `learning_rate` is then
    where the actor's rate starts."""

    @classmethod
    def for_env(cls, name: str, env_params: Any, **changes: Any) -> PPOHParams:
        """The numbers of the recipe for the world `name`, with `changes`; its learning rate falls
        to 0 over the recipe's steps."""
        return preset(name).hparams(env_params).replace(**changes)


def make_ppo(
    env: Env,
    config: PPOConfig | None = None,
    *,
    network: ActorCritic | None = None,
    hparams: PPOHParams | None = None,
    summarise: Callable[[dict[str, Any]], Any] | None = None,
) -> Learner:
    """PPO on `env`. `network` defaults to an MLP actor-critic over the flattened observation.

    A given network's output size must be `action_head(env.spec.action_space, ...).size`.
    `summarise(info)` turns the last rollout's `TimeStep.info` (leaves `[T, B, ...]`) into a pytree
    of fixed structure that `LearnerState.summary` then holds (zeros before the first update), for
    what the host needs to know of a rollout beyond scalar metrics.
    """
    config = config or PPOConfig()
    check_world(env, hparams)
    head = action_head(env.spec.action_space, squash=config.squash)
    network = network or default_network(env, config, head.size)
    hparams = hparams or PPOHParams(env_params=env.default_params())
    _check(config, network, hparams)
    worlds = AutoReset(env, config.auto_reset, pool_size=config.num_envs)
    optimise = epochs_of_minibatches(config, network, head)
    parts = _Parts(env.spec, config, network, head, worlds, optimise, summarise)

    def init(key: jax.Array, hparams: PPOHParams) -> LearnerState:
        return _first_state(key, hparams, parts)

    def update(state: LearnerState, hparams: PPOHParams) -> tuple[LearnerState, Metrics]:
        now = at_step(hparams, state.step)
        key_collect, key_shuffle = jax.random.split(jax.random.fold_in(state.key, state.step))
        after, shown = _play(key_collect, state, now, parts)
        normaliser, reward = normalise_rewards(
            state.normaliser, shown, now.env_params, now.discount
        )
        played = shown.replace(obs=seen(state.normaliser, shown.obs), reward=reward)
        batch = credit(played, now, state.env_state.carry)
        params, opt_state, refused, metrics = optimise.update(key_shuffle, state, batch, now)
        statistics = update_statistics(state.statistics, shown.reward.T, shown.done.T)
        return state.replace(
            params=params,
            opt_state=opt_state,
            env_state=after,
            normaliser=update_observations(normaliser, shown.obs),
            summary=state.summary if summarise is None else summarise(_time_first(shown.info)),
            statistics=statistics,
            skipped=state.skipped + refused,
            step=state.step + 1,
        ), {**metrics, **rollout_metrics(shown, statistics)}

    def see(state: LearnerState, obs: Any) -> Any:
        return seen(state.normaliser, obs)

    samples = config.num_envs * config.unroll_length
    act = acting(network, head, env.spec, see)
    return Learner(init, update, samples, hparams, act, partition=network.partition)


class _Parts(NamedTuple):
    """What a PPO learner is put together from."""

    spec: EnvSpec
    config: PPOConfig
    network: ActorCritic
    head: ActionHead
    worlds: AutoReset
    optimise: Any
    summarise: Callable[[dict[str, Any]], Any] | None


def _first_state(key: jax.Array, hparams: PPOHParams, parts: _Parts) -> LearnerState:
    """Fresh parameters, and worlds at the beginning of their first episodes."""
    config, worlds = parts.config, parts.worlds
    key_params, key_worlds, key_run = jax.random.split(key, 3)
    params = parts.network.init(key_params)
    key_pool, key_reset = jax.random.split(key_worlds)
    ready = worlds.prepare(key_pool, at_step(hparams, 0).env_params)
    keys = jax.random.split(key_reset, config.num_envs)
    started = start_worlds(keys, worlds, ready, parts.network.initial_carry())
    return LearnerState(
        params=params,
        opt_state=parts.optimise.init(params, hparams),
        env_state=started,
        normaliser=init_normaliser(config, started.timestep),
        summary=_empty_summary(parts.summarise, started, config.unroll_length),
        statistics=init_statistics(config.num_envs),
        skipped=jnp.zeros((), jnp.int32),
        key=key_run,
        step=jnp.zeros((), jnp.int32),
    )


def _play(
    key: jax.Array, state: LearnerState, now: PPOHParams, parts: _Parts
) -> tuple[Worlds, Trajectories]:
    """Act for `unroll_length` steps; what happened, as the worlds showed it."""
    key_pool, key_steps = jax.random.split(key)
    policy = actor_critic_policy(
        state.params, parts.network, parts.head, parts.spec, lambda obs: seen(state.normaliser, obs)
    )
    after, shown = collect(
        key_steps,
        parts.worlds,
        parts.worlds.prepare(key_pool, now.env_params),
        policy,
        state.env_state,
        parts.config.unroll_length,
        time_limits=parts.config.time_limits,
        keep_info=parts.summarise is not None,
    )
    return after, shown.replace(valid=valid_actions(parts.spec, shown.obs, lead=2))


def default_network(env: Env, config: NetworkConfig, size: int) -> ActorCritic:
    """An MLP actor-critic over the flattened observation, with `size` policy outputs."""
    return mlp_actor_critic(
        env.spec.observation_space,
        size,
        hidden=tuple(config.hidden),
        activate=config.activation,
        share_trunk=config.share_trunk,
    )


def credit(played: Trajectories, now: PPOHParams, carry: Any) -> Batch:
    """Generalised advantages and returns of worlds' steps `[B, T]`, with what the loss reads."""
    advantage, target = jax.vmap(lambda *steps: gae(*steps, now.discount, now.trace_decay))(
        played.reward, played.value, played.next_value, played.terminated, played.truncated
    )
    unread = ("reward", "terms", "applicable", "alive", "broken", "turn", "group", "info")
    kept = played.replace(next_value=(), **dict.fromkeys(unread, ()))
    sound = played.alive & ~played.broken
    return Batch(played=kept, advantage=advantage, target=target, sound=sound, carry=carry)


def rollout_metrics(shown: Trajectories, statistics: EpisodeStatistics) -> Metrics:
    """Episode statistics, the share of broken steps, and the mean of reward and of every term."""
    return {
        "episode_return": statistics.episode_return,
        "episode_length": statistics.episode_length,
        "episodes": statistics.episodes.astype(jnp.float32),
        "reward": jnp.mean(shown.reward),
        "broken": jnp.mean(shown.broken.astype(jnp.float32)),
        **{f"term/{name}": jnp.mean(value) for name, value in shown.terms.items()},
    }


def _check(config: PPOConfig, network: ActorCritic, hparams: PPOHParams) -> None:
    if network.recurrent and config.num_envs // config.shuffle_shards % config.num_minibatches:
        raise ValueError(
            f"a recurrent network needs num_minibatches={config.num_minibatches} to divide "
            f"num_envs={config.num_envs} (of each of shuffle_shards={config.shuffle_shards}): "
            "minibatches are whole worlds"
        )
    found = group_names(network.groups)
    if needs_own_rates(config, hparams) and not {"actor", "critic"} <= set(found):
        raise ValueError(
            "critic_learning_rate and adapt_to_kl need separate actor and critic networks "
            f"(parameter groups actor and critic); this network's groups: {', '.join(found)}"
        )


def _empty_summary(summarise: Any, worlds: Worlds, steps: int) -> Any:
    """Zeros of the shape that `summarise` gives; () without one."""
    if summarise is None:
        return ()
    info = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((steps, *leaf.shape), leaf.dtype), worlds.timestep.info
    )
    shapes = jax.eval_shape(summarise, info)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def _time_first(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), tree)


__all__ = ["PPOConfig", "PPOHParams", "Worlds", "credit", "make_ppo"]
