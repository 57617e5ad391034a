"""The learners of `train language`: a warm start on solutions, then a group learner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import Trajectories
from jaxrl_rewards.credit.outcome import answer_scores
from jaxrl_rewards.learners.acting import actor_policy
from jaxrl_rewards.learners.action_head import action_head
from jaxrl_rewards.learners.api import Learner, LearnerState
from jaxrl_rewards.learners.fit import FitHParams, make_fit
from jaxrl_rewards.learners.frozen import over_frozen
from jaxrl_rewards.learners.group import GroupConfig, GroupHParams, make_group
from jaxrl_rewards.learners.grpo import LOSSES, named_credit
from jaxrl_rewards.learners.scorers import mixed_groups
from jaxrl_rewards.learners.texts import text_loss
from jaxrl_rewards.rollout.generate import token_answers
from jaxrl_rewards.studies.grpo_ppo_core.train.model import Model
from jaxrl_rewards.studies.grpo_ppo_core.train.questions import Questions
from jaxrl_rewards.studies.grpo_ppo_core.train.task import LanguageTask

STEPS = 10
"""Optimiser steps in one update of the warm start."""


class Evaluation(NamedTuple):
    """Answers to questions that training never asked."""

    accuracy: Float[Array, ""]
    right: Bool[Array, "n"]
    played: Trajectories


def make_warm_start(
    task: LanguageTask, questions: Questions, model: Model, initial: Any = None
) -> Learner:
    """Learns the solutions to fresh questions of the training part."""

    def batch(key: jax.Array, data: Any, hparams: Any) -> Any:
        return questions.solutions(key, task.warm_start_batch, data)

    hparams = FitHParams(
        data=questions.lessons, learning_rate=task.warm_start_rate, initial_params=initial
    )

    def make(frozen: Any) -> Learner:
        network = model.network(frozen)
        return make_fit(
            network.init,
            text_loss(network),
            batch,
            hparams=hparams,
            batch_size=task.warm_start_batch,
            steps_per_update=min(STEPS, max(task.warm_start, 1)),
        )

    return over_frozen(make, model.frozen)


def make_learner(
    task: LanguageTask, questions: Questions, model: Model, initial_params: Any = None
) -> Learner:
    """GRPO or a relative of it, from the parameters of the warm start."""
    loss, aggregate = LOSSES[task.loss]
    config = GroupConfig(
        num_prompts=task.prompts,
        group_size=task.answers,
        num_epochs=task.epochs,
        num_minibatches=task.minibatches,
        num_microbatches=task.microbatches,
    )
    hparams = GroupHParams(
        env_params=questions.params,
        learning_rate=task.learning_rate,
        clip_low=task.clip_low,
        clip_high=task.clip_high,
        kl_coefficient=task.kl_coefficient,
        temperature=task.temperature,
        initial_params=initial_params,
    )
    sample = token_answers(
        questions.env, task.prompts, task.answers, prompt_width=questions.prompt_width
    )

    def make(frozen: Any) -> Learner:
        return make_group(
            questions.env,
            config,
            network=model.network(frozen),
            sample=sample,
            score=mixed_groups(questions.score) if task.mixed_only else questions.score,
            credit=named_credit(task.advantage, 1e-4),
            loss=loss,
            aggregate=aggregate,
            kl=task.kl,
            hparams=hparams,
        )

    return over_frozen(make, model.frozen)


def make_evaluation(
    questions: Questions, model: Model, count: int
) -> Callable[[Any, jax.Array, Any], Evaluation]:
    """`(params, key, env_params) -> Evaluation` of the likeliest answers to `count` questions of
    the test part; jitted. Accuracy is the share whose `correct` term is above one half."""
    head = action_head(questions.test.spec.action_space)
    score = questions.test_score or questions.score
    sample = token_answers(questions.test, count, 1, prompt_width=questions.prompt_width)

    @jax.jit
    def evaluate(params: Any, frozen: Any, key: jax.Array, env_params: Any) -> Evaluation:
        network = model.network(frozen)
        policy = actor_policy(params, network, head, questions.test.spec, jnp.float32(1.0))

        def no_chance(key: jax.Array, lead: tuple[int, ...]) -> Array:
            return jnp.zeros_like(policy.noise(key, lead))

        played = sample(key, policy._replace(noise=no_chance), env_params)
        reward, _ = score(played, {}, None)
        right = reward.replace(total=reward.terms["correct"])
        correct = answer_scores(played, right)[:, 0] > 0.5
        return Evaluation(jnp.mean(correct.astype(jnp.float32)), correct, played)

    return lambda params, key, env_params: evaluate(params, model.frozen, key, env_params)


def watch(
    evaluate: Callable[[Any, jax.Array, Any], Evaluation], env_params: Any, key: jax.Array
) -> Callable[[LearnerState, jax.Array], dict[str, Array]]:
    """For `run(evaluate=...)`: always the same questions, so that a curve compares."""
    return lambda state, _: {"accuracy": evaluate(state.params, key, env_params).accuracy}
