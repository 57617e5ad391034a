"""Policy gradient on proofs under outcome and step rewards."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxrl_envs.language.proof_chain import Played, play, start_table
from jaxtyping import Array, Float

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


@record
class ProofNumbers:
    """What makes an arm."""

    kinds: Float[Array, "4"]
    """Weight of each of `credit.step_rewards.KINDS`; none for the outcome alone."""
    alpha: Any = 0.2
    learning_rate: Any = 0.03


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
