"""Epochs of minibatches over collected steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_rewards.learners.action_head import ActionHead
from jaxrl_rewards.learners.adaptive_rate import AdaptedState, adapted_rate
from jaxrl_rewards.learners.config import OptimiseConfig
from jaxrl_rewards.learners.hparams import at_step
from jaxrl_rewards.learners.minibatch import by_shard, shuffled_minibatches
from jaxrl_rewards.learners.optimise import adam, guarded_step
from jaxrl_rewards.learners.ppo_loss import Batch, ppo_loss
from jaxrl_rewards.networks.actor_critic import ActorCritic


class Optimise(NamedTuple):
    """How parameters learn from a batch."""

    init: Callable[[Any, Any], Any]
    """`(params, hparams) -> opt_state`."""
    update: Callable[..., tuple[Any, Any, Any, dict[str, Any]]]
    """`(key, state, batch, now) -> (params, opt_state, refused steps, metrics)`."""


def needs_own_rates(config: OptimiseConfig, hparams: Any) -> bool:
    """Whether actor and critic learn at rates of their own."""
    return config.adapt_to_kl or hparams.critic_learning_rate is not None


def epochs_of_minibatches(
    config: OptimiseConfig, network: ActorCritic, head: ActionHead
) -> Optimise:
    """`num_epochs` passes over the batch in `num_minibatches` shuffled parts, by Adam."""
    optimiser = adam()
    minibatches = _sequences if network.recurrent else _steps

    def init(params: Any, hparams: Any) -> Any:
        moments = optimiser.init(params)
        if not config.adapt_to_kl:
            return moments
        return AdaptedState(moments=moments, actor_rate=at_step(hparams, 0).learning_rate)

    def update(key: jax.Array, state: Any, batch: Batch, now: Any) -> tuple[Any, Any, Any, Any]:
        actor_rate = state.opt_state.actor_rate if config.adapt_to_kl else now.learning_rate
        rates = _rates(actor_rate, now) if needs_own_rates(config, now) else actor_rate

        def minibatch_step(carry: Any, minibatch: Batch) -> tuple[Any, Any]:
            params, moments, refused = carry
            grads, metrics = jax.grad(ppo_loss, has_aux=True)(
                params, minibatch, network, head, config, now
            )
            anything = jnp.any(minibatch.played.own)
            step = guarded_step(
                optimiser,
                params,
                moments,
                grads,
                rates,
                now.max_grad_norm,
                groups=network.groups,
                clip_together=not config.clip_per_network,
                enabled=anything,
            )
            refused = refused + (step.refused | ~anything)
            return (step.params, step.opt_state, refused), {**metrics, "grad_norm": step.norm}

        def epoch(carry: Any, key: jax.Array) -> tuple[Any, Any]:
            return minibatches(key, ordered, config, minibatch_step, carry)

        ordered = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), batch.replace(carry=()))
        if network.recurrent:
            ordered = ordered.replace(carry=batch.carry)
        else:
            ordered = by_shard(ordered, config.shuffle_shards)
        moments = state.opt_state.moments if config.adapt_to_kl else state.opt_state
        carry = (state.params, moments, jnp.zeros((), jnp.int32))
        keys = jax.random.split(key, config.num_epochs)
        (params, moments, refused), metrics = jax.lax.scan(epoch, carry, keys)
        opt_state = moments
        if config.adapt_to_kl:
            moved = adapted_rate(actor_rate, jnp.mean(metrics["kl"][-1]), now.target_kl)
            opt_state = AdaptedState(moments=moments, actor_rate=moved)
        metrics = {name: jnp.mean(value) for name, value in metrics.items()}
        metrics["skipped"] = refused.astype(jnp.float32)
        metrics["actor_learning_rate"] = actor_rate
        return params, opt_state, refused, metrics

    return Optimise(init, update)


def _rates(actor_rate: Any, now: Any) -> dict[str, Any]:
    own = now.critic_learning_rate
    return {"actor": actor_rate, "critic": now.learning_rate if own is None else own}


def _steps(key: jax.Array, batch: Batch, config: OptimiseConfig, step: Any, carry: Any) -> Any:
    """Minibatches of single steps, from leaves `[shards, steps, ...]`."""
    return jax.lax.scan(step, carry, shuffled_minibatches(key, batch, config.num_minibatches))


def _sequences(key: jax.Array, batch: Batch, config: OptimiseConfig, step: Any, carry: Any) -> Any:
    """Minibatches of whole worlds `[T, B, ...]`, so that memory can be recomputed along time."""
    order = _worlds_in_parts(key, batch.advantage.shape[1], config)

    def one(inner: Any, index: jax.Array) -> tuple[Any, Any]:
        minibatch = jax.tree.map(lambda leaf: leaf[:, index], batch.replace(carry=()))
        memory = jax.tree.map(lambda leaf: leaf[index], batch.carry)
        return step(inner, minibatch.replace(carry=memory))

    return jax.lax.scan(one, carry, order)


def _worlds_in_parts(key: jax.Array, count: int, config: OptimiseConfig) -> jax.Array:
    """Numbers of worlds `[minibatches, worlds]`: every shard is shuffled by itself, and gives each
    minibatch its share."""
    shards, parts = config.shuffle_shards, config.num_minibatches
    if shards == 1:
        return jax.random.permutation(key, count).reshape(parts, -1)
    size = count // shards
    within = jax.vmap(lambda k: jax.random.permutation(k, size))(jax.random.split(key, shards))
    order = within + size * jnp.arange(shards)[:, None]
    return jnp.moveaxis(order.reshape(shards, parts, -1), 1, 0).reshape(parts, -1)
