"""What holds exactly of the learners' mathematics: the value at a time limit, and identities of
group advantages and of the ways in which losses are averaged.

Sources: GAE (arXiv 1506.02438), GRPO (2402.03300), RLOO (2402.14740), Dr.GRPO (2503.20783).
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from jaxrl_rewards.credit import gae, group_advantages
from jaxrl_rewards.losses import normed_sum, sequence_mean, sequence_sum, token_mean


def time_limit_value(bootstrap: bool, key: jax.Array, *, limit: int = 20, updates: int = 4000):
    """TD(0) value of a task with one observation, reward 1 at each step, and a time limit.

    With γ = 0.95 the fixed point is 1 / (1 − γ) = 20 when a truncated step bootstraps, and
    1 / (1 − γ (1 − 1/limit)) = 10.26 when truncation counts as termination. The phase of the
    episode is random.
    """
    discount, rate = 0.95, 0.05
    phase = jax.random.randint(key, (), 0, limit)
    end = (jnp.arange(limit) + phase) % limit == limit - 1
    ends = end.astype(jnp.float32)
    no = jnp.zeros_like(ends)
    terminated, truncated = (no, ends) if bootstrap else (ends, no)

    def step(value, _):
        values = jnp.full((limit,), value)
        advantage, _ = gae(jnp.ones((limit,)), values, values, terminated, truncated, discount, 0.0)
        return value + rate * jnp.mean(advantage), None

    return jax.lax.scan(step, jnp.zeros(()), None, length=updates)[0]


def identities(keys: jax.Array) -> dict[str, jax.Array]:
    """Errors of what must hold exactly, one number per seed.

    rloo_parallel        1 − cosine between GRPO's and RLOO's advantages of a group
    rloo_factor          |RLOO − G/(G−1) · Dr.GRPO|
    duplicate_token_mean change of the token-mean loss when the batch is given twice
    padding              change of every loss when padding and an empty answer are added
    length_bias          |n · (weight of a token in a wrong answer of length n) − 1|, seq-mean
    """

    def one(key):
        scores = jax.random.normal(key, (8,), dtype=jnp.float32)
        grpo, drgrpo, rloo = (
            group_advantages(scores, mode=mode) for mode in ("grpo", "dr_grpo", "rloo")
        )
        cosine = jnp.vdot(grpo, rloo) / (jnp.linalg.norm(grpo) * jnp.linalg.norm(rloo))
        loss = jax.random.normal(jax.random.fold_in(key, 1), (4, 6), dtype=jnp.float32)
        mask = (jnp.arange(6) < jnp.array([[6], [4], [2], [1]])).astype(jnp.float32)
        token = token_mean(loss, mask)
        doubled = token_mean(jnp.tile(loss, (2, 1)), jnp.tile(mask, (2, 1)))
        padded_loss = jnp.pad(loss, ((0, 1), (0, 3)), constant_values=9.0)
        padded_mask = jnp.pad(mask, ((0, 1), (0, 3)))
        ways = (token_mean, sequence_mean, sequence_sum, partial(normed_sum, norm=24.0))
        changes = [jnp.abs(way(loss, mask) - way(padded_loss, padded_mask)) for way in ways]
        weights = jax.grad(lambda values: sequence_mean(values, mask))(loss)
        lengths = jnp.array([6.0, 4.0, 2.0, 1.0])
        return {
            "rloo_parallel": 1.0 - cosine,
            "rloo_factor": jnp.max(jnp.abs(rloo - 8.0 / 7.0 * drgrpo)),
            "duplicate_token_mean": jnp.abs(token - doubled),
            "padding": jnp.max(jnp.stack(changes)),
            "length_bias": jnp.max(jnp.abs(4.0 * weights[:, 0] * lengths - 1.0)),
        }

    return jax.vmap(one)(keys)
