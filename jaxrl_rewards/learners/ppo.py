"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) as an (init, update) pair.

The whole update (rollout, credit, epochs of minibatches) is one pure function of the learner state
and the hyper-parameters. Hyper-parameters hold the world's params and with them the reward, so a
`vmap` over hyper-parameters trains many candidate rewards in one compile.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core import Env, Transition, record
from jaxrl_rewards.learners.action_head import ActionHead, action_head
from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics
from jaxrl_rewards.learners.collect import Collector, Worlds
from jaxrl_rewards.learners.minibatch import by_shard, shuffled_minibatches
from jaxrl_rewards.learners.optimise import adam, guarded_step, hparam_at
from jaxrl_rewards.losses.policy import LOG_RATIO_LIMIT, policy_loss
from jaxrl_rewards.losses.value import value_loss
from jaxrl_rewards.networks.actor_critic import ActorCritic, mlp_actor_critic
from jaxrl_rewards.rewards.base import resolve_schedules


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """Static sizes and switches of PPO; part of the compile key."""

    num_envs: int = 64
    """Worlds stepped in parallel."""
    unroll_length: int = 128
    """Steps per world between updates."""
    num_epochs: int = 4
    """Passes over the collected steps."""
    num_minibatches: int = 4
    """Minibatches per pass; must divide num_envs * unroll_length."""
    hidden: tuple[int, ...] = (64, 64)
    """Hidden widths of the default actor and critic."""
    activation: str = "tanh"
    """Activation of the default networks: tanh, relu, silu, gelu or elu."""
    share_trunk: bool = False
    """One trunk for actor and critic instead of two."""
    squash: bool = False
    """Tanh-normal actions for bounded Box spaces instead of clipped Gaussian ones."""
    time_limits: str = "bootstrap"
    """bootstrap from the final observation at a time limit, or treat it as a termination."""
    auto_reset: str = "fresh"
    """How episodes restart: fresh, pool or cached."""
    normalise_observations: bool = False
    """Running standardisation of observations."""
    normalise_rewards: bool = False
    """Divide rewards by the running deviation of the discounted return."""
    normalise_terms: bool = False
    """Standardise each reward term before weighting."""
    normalise_advantages: bool = True
    """Standardise advantages within each minibatch."""
    clip_per_network: bool = True
    """Clip the gradients of separate actor and critic networks each by its own norm."""
    clip_values: bool = True
    """Clip the value loss around the old value with the policy's clip range."""
    adapt_to_kl: bool = False
    """Steer the actor's learning rate so that an update moves the policy by `target_kl`."""
    shuffle_shards: int = 1
    """Shuffle within this many groups of worlds (the devices of the data axis), not across."""

    def __post_init__(self):
        for name in ("num_envs", "unroll_length", "num_epochs", "num_minibatches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.adapt_to_kl and self.share_trunk:
            raise ValueError("adapt_to_kl needs separate actor and critic networks")
        if self.time_limits not in ("bootstrap", "termination"):
            raise ValueError(
                f"time_limits={self.time_limits!r} is unknown; choose bootstrap or termination"
            )
        if self.num_envs % self.shuffle_shards:
            raise ValueError(
                f"shuffle_shards={self.shuffle_shards} must divide num_envs={self.num_envs}"
            )
        if (self.num_envs // self.shuffle_shards * self.unroll_length) % self.num_minibatches:
            raise ValueError(
                f"num_minibatches={self.num_minibatches} must divide the "
                f"{self.num_envs // self.shuffle_shards * self.unroll_length} steps of a shard"
            )


@record
class PPOHParams:
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


RATE_BOUNDS = (1e-6, 1e-2)
"""Limits of an adapted learning rate."""
RATE_STEP = 1.5
"""Largest factor by which one update changes it."""


@record
class AdaptedState:
    """The optimiser's moments, and the actor's learning rate as adapted so far."""

    moments: Any
    actor_rate: Float[Array, ""]


def adapted_rate(
    rate: Float[Array, ""], kl: Float[Array, ""], target: Float[Array, ""]
) -> Float[Array, ""]:
    """`rate · sqrt(target / kl)`, the factor within `RATE_STEP`, the result in `RATE_BOUNDS`.

    The divergence grows with the square of the step, hence the root. A `kl` that is not finite
    counts as too large. A smooth form of the adaptive rate of Schulman et al. 2017, section 4.
    """
    factor = jnp.sqrt(target / jnp.maximum(kl, 1e-8))
    factor = jnp.where(jnp.isfinite(kl), factor, 0.0)
    return jnp.clip(rate * jnp.clip(factor, 1 / RATE_STEP, RATE_STEP), *RATE_BOUNDS)


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
    head = action_head(env.spec.action_space, squash=config.squash)
    network = network or mlp_actor_critic(
        env.spec.observation_space,
        head.size,
        hidden=tuple(config.hidden),
        activate=config.activation,
        share_trunk=config.share_trunk,
    )
    if network.recurrent and config.num_envs % config.num_minibatches:
        raise ValueError(
            f"a recurrent network needs num_minibatches={config.num_minibatches} to divide "
            f"num_envs={config.num_envs}: minibatches are whole worlds"
        )
    hparams = hparams or PPOHParams(env_params=env.default_params())
    collector = Collector(env, network, head, config, keep_info=summarise is not None)
    optimiser = adam()
    separate = config.clip_per_network and not config.share_trunk
    own_rates = config.adapt_to_kl or hparams.critic_learning_rate is not None
    if own_rates and config.share_trunk:
        raise ValueError("critic_learning_rate needs separate actor and critic networks")

    def init(key: jax.Array, hparams: PPOHParams) -> LearnerState:
        key_params, key_worlds, key_run = jax.random.split(key, 3)
        params = network.init(key_params)
        worlds = collector.init(key_worlds, hparams.env_params)
        opt_state = optimiser.init(params)
        if config.adapt_to_kl:
            first_rate = hparam_at(hparams.learning_rate, jnp.zeros((), jnp.int32))
            opt_state = AdaptedState(moments=opt_state, actor_rate=first_rate)
        return LearnerState(
            params=params,
            opt_state=opt_state,
            env_state=worlds,
            normaliser=collector.init_normaliser(worlds),
            summary=_empty_summary(summarise, worlds, config.unroll_length),
            statistics=collector.init_statistics(),
            skipped=jnp.zeros((), jnp.int32),
            key=key_run,
            step=jnp.zeros((), jnp.int32),
        )

    def update(state: LearnerState, hparams: PPOHParams) -> tuple[LearnerState, Metrics]:
        key_rollout, key_shuffle = jax.random.split(jax.random.fold_in(state.key, state.step))
        step = state.step
        env_params = resolve_schedules(hparams.env_params, step)
        discount = hparam_at(hparams.discount, step)
        collected = collector.collect(
            key_rollout, state.params, state.env_state, state.normaliser, env_params, discount
        )
        batch = collector.credit(
            collected, discount, hparam_at(hparams.trace_decay, step), config.shuffle_shards
        )
        numbers = {
            name: hparam_at(getattr(hparams, name), step)
            for name in ("clip", "entropy_coefficient", "value_coefficient")
        }

        if hparams.critic_learning_rate is not None and not own_rates:
            raise ValueError(
                "critic_learning_rate was None when the learner was made; make it with a number"
            )
        rate = hparam_at(hparams.learning_rate, step)
        actor_rate = state.opt_state.actor_rate if config.adapt_to_kl else rate
        if own_rates:
            own = hparams.critic_learning_rate
            rate = {"actor": actor_rate, "critic": rate if own is None else hparam_at(own, step)}

        def loss_fn(params, minibatch):
            return ppo_loss(params, minibatch, network, head, config, numbers)

        def minibatch_step(carry, minibatch):
            params, opt_state, refused = carry
            grads, metrics = jax.grad(loss_fn, has_aux=True)(params, minibatch)
            params, opt_state, bad, norm = guarded_step(
                optimiser,
                params,
                opt_state,
                grads,
                rate,
                hparam_at(hparams.max_grad_norm, step),
                clip_per_network=separate,
            )
            return (params, opt_state, refused + bad), {**metrics, "grad_norm": norm}

        moments = state.opt_state.moments if config.adapt_to_kl else state.opt_state
        carry = (state.params, moments, jnp.zeros((), jnp.int32))
        if network.recurrent:
            run_epoch = _recurrent_epochs(batch, collected, config, minibatch_step)
        else:
            run_epoch = _shuffled_epochs(batch, config, minibatch_step)
        keys = jax.random.split(key_shuffle, config.num_epochs)
        (params, opt_state, refused), metrics = jax.lax.scan(run_epoch, carry, keys)

        statistics = collector.update_statistics(state.statistics, collected)
        if config.adapt_to_kl:
            moved = adapted_rate(
                actor_rate, jnp.mean(metrics["kl"][-1]), hparam_at(hparams.target_kl, step)
            )
            opt_state = AdaptedState(moments=opt_state, actor_rate=moved)
        metrics = {name: jnp.mean(value) for name, value in metrics.items()}
        metrics |= collector.metrics(collected, statistics)
        metrics["skipped"] = refused.astype(jnp.float32)
        metrics["actor_learning_rate"] = actor_rate
        return state.replace(
            params=params,
            opt_state=opt_state,
            env_state=collected.worlds,
            normaliser=collected.normaliser,
            summary=state.summary if summarise is None else summarise(collected.info),
            statistics=statistics,
            skipped=state.skipped + refused,
            step=state.step + 1,
        ), metrics

    def act(state: LearnerState, obs: Any, carry: Any, key: Any, deterministic: bool = True):
        obs = collector.normalise(state.normaliser, obs)
        carry = network.initial_carry() if carry is None else carry
        output, carry = network.actor(state.params, obs, carry)
        action = head.mode(output) if deterministic else head.sample(key, output)[0]
        return head.to_env(action), carry

    return Learner(init, update, config.num_envs * config.unroll_length, hparams, act)


def _empty_summary(summarise: Any, worlds: Worlds, steps: int) -> Any:
    """Zeros of the shape that `summarise` gives; () without one."""
    if summarise is None:
        return ()
    info = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((steps, *leaf.shape), leaf.dtype), worlds.timestep.info
    )
    shapes = jax.eval_shape(summarise, info)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def ppo_loss(
    params: Any,
    minibatch: dict[str, Any],
    network: ActorCritic,
    head: ActionHead,
    config: PPOConfig,
    numbers: dict[str, Float[Array, ""]],
) -> tuple[Float[Array, ""], Metrics]:
    """Clipped surrogate + value loss - entropy bonus over one minibatch (eq. 9 of the paper).

    `minibatch` holds obs, action, log_prob, value, advantage, return; leaves `[N, ...]`, or
    `[T, N, ...]` with carry and done for a recurrent network. `numbers` are `clip`,
    `entropy_coefficient` and `value_coefficient`.
    """
    if network.recurrent:
        output, value = unroll_network(params, network, minibatch)
    else:
        output, value, _ = network.apply(params, minibatch["obs"], ())
    log_prob = head.log_prob(output, minibatch["action"]).reshape(-1)
    value = value.reshape(-1)
    advantage = minibatch["advantage"].reshape(-1)
    if config.normalise_advantages:
        centred = advantage - jnp.mean(advantage)
        advantage = centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred)) + 1e-8)
    surrogate, policy_metrics = policy_loss(
        log_prob,
        minibatch["log_prob"].reshape(-1),
        advantage,
        None,
        kind="ppo",
        clip_low=numbers["clip"],
        clip_high=numbers["clip"],
    )
    critic, _ = value_loss(
        value,
        minibatch["return"].reshape(-1),
        None,
        old_values=minibatch["value"].reshape(-1) if config.clip_values else None,
        clip=numbers["clip"] if config.clip_values else None,
    )
    entropy = jnp.mean(head.entropy(output))
    log_ratio = jax.lax.stop_gradient(log_prob - minibatch["log_prob"].reshape(-1))
    log_ratio = jnp.clip(log_ratio, -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    loss = surrogate + numbers["value_coefficient"] * critic
    loss = loss - numbers["entropy_coefficient"] * entropy
    metrics = {
        "policy_loss": surrogate,
        "value_loss": critic,
        "entropy": entropy,
        "clip_fraction": policy_metrics["clip_fraction"],
        "approx_kl": policy_metrics["approx_kl"],
        # ρ - 1 - log ρ: an estimate without bias that is never negative
        "kl": jnp.mean(jnp.expm1(log_ratio) - log_ratio),
    }
    return loss, metrics


def unroll_network(
    params: Any, network: ActorCritic, sequence: dict[str, Any]
) -> tuple[Array, Array]:
    """Run a recurrent network over `obs [T, N, ...]` from `carry [N, ...]`, cut after `done`."""

    def step(carry, inputs):
        obs, done = inputs
        output, value, carry = network.apply(params, obs, carry)
        fresh = network.initial_carry()
        carry = jax.tree.map(
            lambda leaf, start: jnp.where(done.reshape(-1, *[1] * (leaf.ndim - 1)), start, leaf),
            carry,
            fresh,
        )
        return carry, (output, value)

    _, outputs = jax.lax.scan(step, sequence["carry"], (sequence["obs"], sequence["done"]))
    return outputs


def _shuffled_epochs(batch: dict[str, Array], config: PPOConfig, minibatch_step: Any) -> Any:
    sharded = by_shard(batch, config.shuffle_shards)

    def run_epoch(carry, key):
        minibatches = shuffled_minibatches(key, sharded, config.num_minibatches)
        return jax.lax.scan(minibatch_step, carry, minibatches)

    return run_epoch


def _recurrent_epochs(batch: Any, collected: Any, config: PPOConfig, minibatch_step: Any) -> Any:
    """Minibatches of whole worlds, so that the carry can be recomputed along time."""
    shards = config.num_envs // config.num_minibatches
    sequences = {**batch, "done": collected.done}

    def run_epoch(carry, key):
        order = jax.random.permutation(key, config.num_envs).reshape(-1, shards)

        def one(inner, index):
            minibatch = jax.tree.map(lambda leaf: leaf[:, index], sequences)
            minibatch["carry"] = jax.tree.map(lambda leaf: leaf[index], collected.first_carry)
            return minibatch_step(inner, minibatch)

        return jax.lax.scan(one, carry, order)

    return run_epoch


__all__ = ["PPOConfig", "PPOHParams", "Transition", "Worlds", "make_ppo", "ppo_loss"]
