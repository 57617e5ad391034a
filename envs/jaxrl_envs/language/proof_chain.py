"""Proofs as chains of steps, scored by a simulated process reward model that loves repetition.

The world behind Gao et al. 2024 (arXiv 2410.15115) in a table: policies are logits by progress.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

CANDIDATES = 6
REPEAT, ANSWER = CANDIDATES, CANDIDATES + 1
CLEAN, REPEATED, SPOILT, NOISE = 0.85, 0.95, 0.25, 0.1
"""Scores of a clean prefix, of a clean repetition, of a spoilt prefix, and their deviation."""


class Played(NamedTuple):
    """A batch of proofs; `[B, H]` and `[B]`."""

    place: Int[Array, "B H"]
    """Steps of the proof written before each step."""
    action: Int[Array, "B H"]
    score: Float[Array, "B H"]
    mask: Float[Array, "B H"]
    correct: Float[Array, "B"]


def start_table(steps: int) -> Float[Array, "M+1 8"]:
    """Logits by progress: right steps (candidate 0) likelier, answering unlikely before the end."""
    table = jnp.zeros((steps + 1, CANDIDATES + 2), jnp.float32)
    table = table.at[:steps, 0].set(1.2).at[:steps, ANSWER].set(-1.5)
    return table.at[steps, ANSWER].set(1.0)


def play(key: jax.Array, table: Float[Array, "M+1 8"], batch: int, horizon: int) -> Played:
    """Write `batch` proofs.

    A candidate moves the proof on; any but the right one spoils it unseen, as does a step beyond
    the last. A repetition adds a step that is right and leads nowhere.
    """
    steps = table.shape[0] - 1

    def step(carry: tuple, key: jax.Array) -> tuple[tuple, tuple]:
        place, spoilt, running, correct = carry
        key_action, key_score = jax.random.split(key)
        action = jax.random.categorical(key_action, table[place], axis=-1)
        tries = action < CANDIDATES
        spoils = tries & ((action != 0) | (place >= steps))
        after = spoilt | (running & spoils)
        level = jnp.where(after, SPOILT, jnp.where(action == REPEAT, REPEATED, CLEAN))
        noise = NOISE * jax.random.normal(key_score, (batch,), jnp.float32)
        score = jnp.clip(level + noise, 0.0, 1.0)
        answers = running & (action == ANSWER)
        correct = correct | (answers & (place == steps) & ~after)
        out = (place, action, score, running)
        place = jnp.where(running & tries, jnp.minimum(place + 1, steps), place)
        return (place, after, running & ~answers, correct), out

    no = jnp.zeros((batch,), bool)
    start = (jnp.zeros((batch,), jnp.int32), no, ~no, no)
    (*_, correct), out = jax.lax.scan(step, start, jax.random.split(key, horizon))
    place, action, score, running = (jnp.moveaxis(leaf, 0, 1) for leaf in out)
    return Played(place, action, score, running.astype(jnp.float32), correct.astype(jnp.float32))
