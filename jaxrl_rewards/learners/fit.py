"""Supervised work as a learner: reward models, verifiers, probes, warm starts, imitation.

The same `(init, update)` contract as reinforcement learners, so runner, checkpoints, vmapped seeds
and placement over devices need nothing new.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from jaxrl_rewards.core import Record, record
from jaxrl_rewards.core.mesh import shard_batch
from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics
from jaxrl_rewards.learners.hparams import at_step
from jaxrl_rewards.learners.optimise import WHOLE, Groups, Step, adam, guarded_step

Loss = Callable[[Any, Any, Any], tuple[Array, Metrics]]
"""`(params, batch, hparams) -> (scalar to minimise, metrics)`."""
BatchOf = Callable[[jax.Array, Any, Any], Any]
"""`(key, data, hparams) -> batch` of fixed shapes."""


@record
class FitHParams(Record):
    """Sweepable numbers; every leaf may be an array with a `vmap` axis, or a schedule."""

    data: Any = ()
    """What batches are made of; an argument of the compiled program, not a constant in it."""
    learning_rate: Any = 1e-3
    max_grad_norm: Any = 1.0
    weight_decay: Any = 0.0
    """Decoupled from the gradient (Loshchilov and Hutter 2019), times the learning rate."""
    initial_params: Any = None
    """Parameters to start from instead of those of `init`."""


def make_fit(
    init: Callable[[jax.Array], Any],
    loss: Loss,
    batch: BatchOf,
    *,
    hparams: FitHParams | None = None,
    data: Any = None,
    batch_size: int = 1,
    steps_per_update: int = 1,
    optimiser: optax.GradientTransformation | None = None,
    groups: Groups = WHOLE,
) -> Learner:
    """A learner that fits `init(key)` to `loss` over batches.

    Args:
      init: parameters from a key.
      loss: what is minimised; a batch whose gradient is not finite is refused and counted.
      batch: draws a batch, e.g. `rows(batch_size)`.
      hparams: a `FitHParams`, or a record with its fields and more for `loss`.
      data: sets `hparams.data`.
      batch_size: examples in a batch, for rates per second.
      steps_per_update: optimiser steps in one update, scanned; metrics are their means.
      optimiser: gives the direction of a step without a rate; Adam when None.
      groups: what is clipped together (see `learners.optimise`).

    Its `act` is None.
    """
    if steps_per_update < 1:
        raise ValueError(f"steps_per_update must be at least 1, got {steps_per_update}")
    hparams = FitHParams() if hparams is None else hparams
    hparams = hparams if data is None else hparams.replace(data=data)
    optimiser = adam() if optimiser is None else optimiser

    def start(key: jax.Array, hparams: Any) -> LearnerState:
        key_params, key_run = jax.random.split(key)
        given = getattr(hparams, "initial_params", None)
        params = init(key_params) if given is None else given
        return LearnerState(
            params=params,
            opt_state=optimiser.init(params),
            skipped=jnp.zeros((), jnp.int32),
            key=key_run,
            step=jnp.zeros((), jnp.int32),
        )

    def update(state: LearnerState, hparams: Any) -> tuple[LearnerState, Metrics]:
        now = at_step(hparams, state.step)

        def one(carry: tuple, key: jax.Array) -> tuple[tuple, Metrics]:
            params, opt_state, refused = carry
            examples = shard_batch(batch(key, now.data, now))
            (value, told), grads = jax.value_and_grad(loss, has_aux=True)(params, examples, now)
            step = _decayed_step(optimiser, params, opt_state, grads, now, groups)
            told = {"loss": value, **told, "grad_norm": step.norm}
            return (step.params, step.opt_state, refused + step.refused), told

        carry = (state.params, state.opt_state, jnp.zeros((), jnp.int32))
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), steps_per_update)
        (params, opt_state, refused), metrics = jax.lax.scan(one, carry, keys)
        metrics = {name: jnp.mean(value) for name, value in metrics.items()}
        return state.replace(
            params=params,
            opt_state=opt_state,
            skipped=state.skipped + refused,
            step=state.step + 1,
        ), {**metrics, "skipped": refused.astype(jnp.float32)}

    return Learner(start, update, batch_size * steps_per_update, hparams)


def _decayed_step(
    optimiser: optax.GradientTransformation,
    params: Any,
    opt_state: Any,
    grads: Any,
    now: Any,
    groups: Groups,
) -> Step:
    """One guarded step, then the decay of the weights, where the step was taken."""
    # a decay that is not finite is refused like a rate
    rate = jnp.where(jnp.isfinite(now.weight_decay), now.learning_rate, jnp.nan)
    step = guarded_step(optimiser, params, opt_state, grads, rate, now.max_grad_norm, groups=groups)
    shrink = jnp.where(step.refused, 0.0, now.learning_rate * now.weight_decay)
    decayed = jax.tree.map(
        lambda new, old: (new - shrink * old).astype(new.dtype), step.params, params
    )
    return step._replace(params=decayed)


def rows(batch_size: int) -> BatchOf:
    """Batches of `batch_size` rows drawn with replacement from data with leaves `[N, ...]`."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")

    def batch(key: jax.Array, data: Any, hparams: Any) -> Any:
        count = jax.tree.leaves(data)[0].shape[0]
        index = jax.random.randint(key, (batch_size,), 0, count, jnp.int32)
        return jax.tree.map(lambda leaf: leaf[index], data)

    return batch


def whole() -> BatchOf:
    """All of the data, every time."""
    return lambda key, data, hparams: data
