"""PRIME on tables of logits: policy, reward model and reference over hidden key letters."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_rewards.core import record
from jaxrl_rewards.credit.process import prime_advantage, prompt_filter
from jaxrl_rewards.learners.api import Learner, LearnerState
from jaxrl_rewards.learners.optimise import adam, guarded_step
from jaxrl_rewards.losses import clipped_surrogate, token_mean
from jaxrl_rewards.reward_models.implicit import implicit_cross_entropy, implicit_rewards
from jaxrl_rewards.reward_models.ranking import auc


@record
class PrimeNumbers:
    """What makes an arm."""

    process_coefficient: Any = 1.0
    """Weight of the token rewards; 0 leaves the outcome: RLOO."""
    start: Any = 2.6
    """Logit of the right letter at key positions before learning."""
    lower: Any = 0.2
    upper: Any = 0.8
    learning_rate: Any = 0.02
    model_rate: Any = 0.02
    beta: Any = 0.05


def key_table() -> np.ndarray:
    """The right letter of every position, -1 where any will do: the world's own."""
    from jaxrl_envs.language import KeyTokens

    return KeyTokens().keys


def log_probs(table: Float[Array, "T V"], answers: Int[Array, "B T"]) -> Float[Array, "B T"]:
    """Log-probability of every letter."""
    return jax.nn.log_softmax(table)[jnp.arange(answers.shape[1]), answers]


def outcomes(answers: Int[Array, "B T"], keys: np.ndarray) -> Float[Array, "B"]:
    """1 where all keys are right."""
    return jnp.all((keys < 0) | (answers == keys), axis=-1).astype(jnp.float32)


def make_prime(keys: np.ndarray, letters: int, prompts: int, answers: int) -> Learner:
    """One step of the policy and of the reward model per batch, scores before the model's step."""
    optimiser = adam(1e-8)
    shape = (len(keys), letters)
    right = jnp.asarray(np.arange(letters) == keys[:, None])

    def init(key: jax.Array, hparams: PrimeNumbers) -> LearnerState:
        table = jnp.where(right, hparams.start, 0.0).astype(jnp.float32)
        model = {"params": table, "opt_state": optimiser.init(table)}
        return LearnerState(
            params=table,
            opt_state=optimiser.init(table),
            models={"reference": table, "partner": model},
            skipped=jnp.zeros((), jnp.int32),
            key=key,
            step=jnp.zeros((), jnp.int32),
        )

    def update(state: LearnerState, hparams: PrimeNumbers) -> tuple[LearnerState, dict]:
        key = jax.random.fold_in(state.key, state.step)
        rows = (prompts * answers, shape[0])
        played = jax.random.categorical(key, state.params, axis=-1, shape=rows)
        mask = jnp.ones(played.shape, jnp.float32)
        outcome = outcomes(played, keys)
        keep = prompt_filter(outcome.reshape(prompts, answers), hparams.lower, hparams.upper)
        weight = jnp.repeat(keep, answers).astype(jnp.float32)
        kept = mask * weight[:, None]
        model, reference = state.models["partner"], state.models["reference"]
        before = log_probs(reference, played)
        process = implicit_rewards(log_probs(model["params"], played), before, kept)
        advantage = prime_advantage(
            process, outcome, kept, answers, process_coefficient=hparams.process_coefficient
        )
        old = log_probs(state.params, played)

        def policy_loss(table: Array) -> Array:
            tokens = clipped_surrogate(log_probs(table, played), old, advantage, kept)
            return token_mean(tokens.loss, kept)

        def model_loss(table: Array) -> Array:
            current = log_probs(table, played)
            return implicit_cross_entropy(current, before, outcome, mask, hparams.beta, weight)

        any_kept = jnp.any(keep)
        own = guarded_step(
            optimiser, state.params, state.opt_state, jax.grad(policy_loss)(state.params),
            hparams.learning_rate, jnp.inf, enabled=any_kept,
        )  # fmt: skip
        learnt = guarded_step(
            optimiser, model["params"], model["opt_state"], jax.grad(model_loss)(model["params"]),
            hparams.model_rate, 10.0, enabled=any_kept,
        )  # fmt: skip
        partner = {"params": learnt.params, "opt_state": learnt.opt_state}
        return state.replace(
            params=own.params,
            opt_state=own.opt_state,
            models={**state.models, "partner": partner},
            step=state.step + 1,
        ), {"kept": jnp.mean(keep.astype(jnp.float32))}

    return Learner(init, update, prompts * answers, None)


def measures(state: LearnerState, keys: np.ndarray, count: int) -> dict[str, Array]:
    """Chance of success (exact), and how well the reward model ranks letters and answers.

    "letter AUC": of the table's entries at key positions, right against wrong; "answer AUC": of
    `count` fresh answers, right against wrong ones; NaN where one kind is missing.
    """
    chance = jax.nn.softmax(state.params)
    places = np.flatnonzero(keys >= 0)
    success = jnp.prod(chance[places, keys[places]])
    model, reference = state.models["partner"]["params"], state.models["reference"]
    ratio = jax.nn.log_softmax(model) - jax.nn.log_softmax(reference)
    is_right = jnp.asarray(np.arange(ratio.shape[1]) == keys[places][:, None])
    key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), 7)
    answers = jax.random.categorical(key, state.params, axis=-1, shape=(count, len(keys)))
    scores = jnp.sum(log_probs(model, answers) - log_probs(reference, answers), axis=1)
    return {
        "success": success,
        "letter AUC": auc(ratio[places].reshape(-1), is_right.reshape(-1)),
        "answer AUC": auc(scores, outcomes(answers, keys) > 0),
    }
