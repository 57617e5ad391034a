"""Answers made by hand."""

import jax
import jax.numpy as jnp

from jaxrl_rewards.core import Trajectories


def answers(scores, length=3, tokens=5):
    """Trajectories `[P, G, length]` whose last step is worth `scores` `[P, G]`."""
    shape = (*scores.shape, length)
    yes, no = jnp.ones(shape, bool), jnp.zeros(shape, bool)
    drawn = jax.random.randint(jax.random.key(0), (2, *shape), 0, tokens, jnp.int32)
    last = jnp.arange(length) == length - 1
    reward = jnp.where(last, scores[..., None], 0.0)
    return Trajectories(
        obs=drawn[0],
        action=drawn[1],
        log_prob=jnp.full((*shape, 1), -2.0),
        reward=reward,
        terms={"score": reward},
        applicable={"score": yes},
        terminated=no | last,
        truncated=no,
        alive=yes,
        own=yes,
        broken=no,
        turn=jnp.broadcast_to(jnp.arange(length), shape),
        group=jnp.broadcast_to(jnp.arange(shape[0])[:, None], shape[:2]),
        info=(),
    )
