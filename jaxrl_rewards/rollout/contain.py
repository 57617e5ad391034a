"""Keeping one broken world from spoiling the rest."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxrl_rewards.core import TimeStep
from jaxrl_rewards.core.believable import believable


def contain(timestep: TimeStep) -> TimeStep:
    """Make a step of a broken world a finite, terminated one, and mark it as `broken`.

    A world is broken when an observation is not finite or huge (`core.believable`): the step's
    reward and terms become 0 and not applicable, such entries of observations 0. A reward of that
    kind in a sound world breaks its step alone: it becomes 0 and the step `broken`, but the episode
    goes on. Other steps are unchanged. Learners leave broken steps out and count them. Values are
    contained, derivatives through the world or its reward are not.
    """
    sound = _sound(timestep.obs)
    scored = believable(timestep.reward)

    def clean(leaf: Array) -> Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return jnp.where(believable(leaf) | sound, leaf, jnp.zeros_like(leaf))

    return timestep.replace(
        obs=jax.tree.map(clean, timestep.obs),
        reward=jnp.where(sound & scored, timestep.reward, 0.0),
        terms=jax.tree.map(lambda value: jnp.where(sound, value, 0.0), timestep.terms),
        applicable=jax.tree.map(lambda flag: flag & sound, timestep.applicable),
        terminated=timestep.terminated | ~sound,
        broken=timestep.broken | ~sound | ~scored,
    )


def _sound(tree: Any) -> Bool[Array, ""]:
    sound = jnp.ones((), bool)
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            sound = sound & jnp.all(believable(leaf))
    return sound
