"""A proof as a chain of steps, scored by a simulated process reward model, and learning on it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrl_rewards.core import record
from jaxrl_rewards.credit.step_rewards import (
    KINDS,
    dense_step_reward,
    eta_from_batch,
    reward_to_go,
    step_rewards,
)
from jaxrl_rewards.learners.api import Learner, LearnerState
from jaxrl_rewards.learners.optimise import adam, guarded_step

CANDIDATES = 6
REPEAT, ANSWER = CANDIDATES, CANDIDATES + 1
CLEAN, REPEATED, SPOILT, NOISE = 0.85, 0.95, 0.25, 0.1
"""Scores of a clean prefix, of a clean repetition, of a spoilt prefix, and their deviation."""


@record
class ProofNumbers:
    """What makes an arm."""

    kinds: Float[Array, "4"]
    """Weight of each of `credit.step_rewards.KINDS`; none for the outcome alone."""
    alpha: Any = 0.2
    learning_rate: Any = 0.03


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


def make_proofs(steps: int, horizon: int, batch: int) -> Learner:
    """Policy gradient on a table of logits: return to go minus its batch mean, step by step."""
    optimiser = adam(1e-8)

    def init(key: jax.Array, hparams: ProofNumbers) -> LearnerState:
        table = start_table(steps)
        return LearnerState(
            params=table,
            opt_state=optimiser.init(table),
            skipped=jnp.zeros((), jnp.int32),
            key=key,
            step=jnp.zeros((), jnp.int32),
        )

    def update(state: LearnerState, hparams: ProofNumbers) -> tuple[LearnerState, dict]:
        played = play(jax.random.fold_in(state.key, state.step), state.params, batch, horizon)
        advantage = advantages(played, hparams)

        def loss(table: Array) -> Array:
            log_prob = jax.nn.log_softmax(table)[played.place, played.action]
            return -jnp.sum(played.mask * advantage * log_prob) / batch

        grads = jax.grad(loss)(state.params)
        done = guarded_step(
            optimiser, state.params, state.opt_state, grads, hparams.learning_rate, jnp.inf
        )
        state = state.replace(
            params=done.params,
            opt_state=done.opt_state,
            skipped=state.skipped + done.refused,
            step=state.step + 1,
        )
        return state, told(played)

    return Learner(init, update, batch * horizon, None)


def advantages(played: Played, hparams: ProofNumbers) -> Float[Array, "B H"]:
    """Return to go of outcome and step rewards, minus the mean of those still writing."""
    group = jnp.zeros(played.score.shape[0], jnp.int32)  # all proofs answer one question
    eta = eta_from_batch(played.score, played.mask, group, 1)
    refined = [step_rewards(played.score, played.mask, kind, eta) for kind in KINDS]
    reward = jnp.tensordot(hparams.kinds, jnp.stack(refined), 1)
    dense = dense_step_reward(reward, played.correct, played.mask, hparams.alpha)
    returns = reward_to_go(dense, played.mask)
    count = jnp.maximum(jnp.sum(played.mask, axis=0), 1.0)
    return (returns - jnp.sum(returns, axis=0) / count) * played.mask


def told(played: Played) -> dict[str, Array]:
    """Success and number of steps of a batch."""
    return {"success": jnp.mean(played.correct), "length": jnp.mean(jnp.sum(played.mask, axis=1))}
