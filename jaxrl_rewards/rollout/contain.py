"""Keeping one broken world from spoiling the rest."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxrl_rewards.core import TimeStep


def contain(timestep: TimeStep) -> TimeStep:
    """Make a step of a broken world a finite, terminated one, and mark it as `broken`.

    A world is broken when an observation is not finite: the step's reward and terms become 0 and
    not applicable, non-finite entries of observations 0. A reward that is not finite in a sound
    world breaks its step alone: it becomes 0 and the step `broken`, but the episode goes on. Other
    steps are unchanged. Learners leave broken steps out and count them.
    """
    sound = _finite(timestep.obs)
    scored = jnp.isfinite(timestep.reward)

    def clean(leaf: Array) -> Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return jnp.where(jnp.isfinite(leaf) | sound, leaf, jnp.zeros_like(leaf))

    known = {name: sound & jnp.isfinite(value) for name, value in timestep.terms.items()}
    return timestep.replace(
        obs=jax.tree.map(clean, timestep.obs),
        reward=jnp.where(sound & scored, timestep.reward, 0.0),
        terms={name: jnp.where(known[name], value, 0.0) for name, value in timestep.terms.items()},
        applicable={name: flag & known[name] for name, flag in timestep.applicable.items()},
        terminated=timestep.terminated | ~sound,
        broken=timestep.broken | ~sound | ~scored,
    )


def _finite(tree: Any) -> Bool[Array, ""]:
    finite = jnp.ones((), bool)
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            finite = finite & jnp.all(jnp.isfinite(leaf))
    return finite
