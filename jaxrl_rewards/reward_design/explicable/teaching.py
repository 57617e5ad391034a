"""Learners under fixed rewards, beside learners whose teacher follows them."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxrl_rewards.reward_design.explicable.adaptive import AdaptiveTeacher
from jaxrl_rewards.reward_design.explicable.tabular_learning import (
    make_sampler,
    reinforce_chunk,
    reinforce_start,
    softmax_policy,
)


def teach(
    teacher: AdaptiveTeacher,
    fixed: Float[np.ndarray, "K S A"],
    keys: jax.Array,
    *,
    designs: int,
    updates: int,
    rate: float,
    episodes: int = 2,
    steps: int = 30,
    batch: int = 5,
    report: Callable[[int], None] = lambda design: None,
) -> tuple[Float[np.ndarray, "K+1 N P S A"], Float[np.ndarray, "D S A"]]:
    """REINFORCE under `K` fixed rewards and under one that is designed anew for each learner.

    Between two of the `designs` each learner makes `updates` updates, each after `episodes`
    episodes of at most `steps` steps and on the last `batch` of them. `keys` `[N]` are those of the
    seeds, shared by all rewards. Returns the policies before every design and at the end,
    `P = designs + 1`, those of the followed learners last; and the rewards that the first seed's
    was given. Devidze, Kamalaruban, Singla, AAMAS 2024.
    """
    model, sampler = teacher.model, make_sampler(teacher.model)
    shape = (model.num_states, model.num_actions)
    lead = (len(fixed) + 1, keys.shape[0])

    def learn(key, state, reward):
        return reinforce_chunk(
            key,
            state,
            sampler,
            reward,
            model.discount,
            rate,
            updates=updates,
            episodes=episodes,
            steps=steps,
        )

    chunk = jax.jit(jax.vmap(jax.vmap(learn), (None, 0, 0)), donate_argnums=1)
    fold = jax.jit(jax.vmap(jax.random.fold_in, (0, None)))
    state = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf, (*lead, *leaf.shape)).copy(),
        reinforce_start(shape, batch),
    )
    rewards = np.zeros((*lead, *shape))
    rewards[:-1] = np.asarray(fixed)[:, None]
    policies, given = [], []
    for index in range(designs):
        policies.append(np.asarray(softmax_policy(state.theta), np.float64))
        rewards[-1] = [design.reward for design in teacher.design(policies[-1][-1])]
        given.append(rewards[-1, 0].copy())
        state = chunk(fold(keys, index), state, jnp.asarray(rewards, jnp.float32))
        report(index)
    policies.append(np.asarray(softmax_policy(state.theta), np.float64))
    return np.stack(policies, axis=2), np.stack(given)
