"""Learners under rewards that learn: counts, curiosity, whatever is a `rewards.LearningTerm`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxrl_rewards.core import Env, TimeStep, Trajectories
from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics
from jaxrl_rewards.learners.group import Partner, Scorer, outcome
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.networks.actor_critic import ActorCritic
from jaxrl_rewards.rewards.base import RewardOutput
from jaxrl_rewards.rewards.learning import LearningTerm, learning_terms, usable, with_terms

EVIDENCE = "evidence"


def make_ppo_with_learning_terms(
    env: Env,
    config: PPOConfig | None = None,
    *,
    network: ActorCritic | None = None,
    hparams: PPOHParams,
) -> Learner:
    """PPO whose reward terms learn from every update's steps.

    The learning terms are those of `hparams.env_params.reward`; as they stand there is how they
    begin. Each update collects and scores with the terms as they were before it; then they learn.
    They are kept as `LearnerState.models["terms"]`, by name. ValueError where there are none.
    """
    if not learning_terms(hparams.env_params.reward):
        raise ValueError(
            "no term of the reward learns; use make_ppo, or add one such as rewards.count_bonus"
        )
    inner = make_ppo(
        _Witness(env), config, network=network, hparams=hparams, summarise=lambda i: i[EVIDENCE]
    )

    def init(key: jax.Array, hparams: PPOHParams) -> LearnerState:
        state = inner.init(key, hparams)
        terms = jax.tree.map(jnp.asarray, learning_terms(hparams.env_params.reward))
        return state.replace(models={"terms": terms, "inner": state.models}, summary=())

    def update(state: LearnerState, hparams: PPOHParams) -> tuple[LearnerState, Metrics]:
        terms = state.models["terms"]
        before = state.replace(models=state.models["inner"])
        after, metrics = inner.update(before, _placed(hparams, terms))
        models = {"terms": _learnt(terms, after.summary), "inner": after.models}
        return after.replace(models=models, summary=()), metrics

    return inner._replace(init=init, update=update)


def bonus_parts(
    term: LearningTerm,
    evidence: Callable[[Trajectories], Any],
    *,
    weight: Any = 1.0,
    score: Scorer = outcome,
) -> tuple[Scorer, Partner]:
    """`score` and `partner` of `make_group` for a term that learns beside the policy.

    `evidence(played)` gives what the term reads of every position, leaves `[P, G, T, ...]`. The
    scorer adds `weight` times the term's score at the policy's own positions to what `score` says.
    """

    def with_bonus(played: Trajectories, models: dict[str, Any], hparams: Any) -> Any:
        reward, keep = score(played, models, hparams)
        model = models["partner"]
        flat = _flat(evidence(played), played.own.ndim)
        value = jnp.reshape(jax.vmap(model.score)(flat), played.own.shape)
        value = jnp.where(played.own, value, 0.0)
        return RewardOutput(
            total=reward.total + weight * value,
            terms={**reward.terms, term.name: value},
            applicable={**reward.applicable, term.name: played.own},
        ), keep

    def update(
        model: LearningTerm, played: Trajectories, keep: Array, models: Any, hparams: Any
    ) -> tuple[LearningTerm, Metrics]:
        flat = _flat(evidence(played), played.own.ndim)
        seen = played.own.reshape(-1) & usable(flat)
        return model.learn(flat, seen), {}

    def init(key: jax.Array, params: Any) -> LearningTerm:
        return jax.tree.map(jnp.asarray, term)

    return with_bonus, Partner(init=init, update=update)


class _Witness:
    """The same world; `info` also tells what the learning terms read of the step."""

    def __init__(self, env: Env):
        self.env, self.spec = env, env.spec

    def default_params(self) -> Any:
        return self.env.default_params()

    def reset(self, key: jax.Array, params: Any) -> tuple[Any, TimeStep]:
        state, timestep = self.env.reset(key, params)
        action = jax.eval_shape(self.spec.action_space.sample, key)
        shapes = jax.eval_shape(lambda a: _evidence(params, state, a, state), action)
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return state, timestep.replace(info={**timestep.info, EVIDENCE: nothing})

    def step(self, key: jax.Array, state: Any, action: Any, params: Any) -> tuple[Any, TimeStep]:
        nxt, timestep = self.env.step(key, state, action, params)
        told = _evidence(params, state, action, nxt)
        return nxt, timestep.replace(info={**timestep.info, EVIDENCE: told})


def _evidence(params: Any, prev: Any, action: Any, nxt: Any) -> dict[str, Any]:
    terms = learning_terms(params.reward)
    return {name: term.evidence(prev, action, nxt) for name, term in terms.items()}


def _placed(hparams: PPOHParams, terms: dict[str, LearningTerm]) -> PPOHParams:
    params = hparams.env_params
    return hparams.replace(env_params=params.replace(reward=with_terms(params.reward, terms)))


def _learnt(terms: dict[str, LearningTerm], evidence: dict[str, Any]) -> dict[str, LearningTerm]:
    flat = {name: _flat(evidence[name], 2) for name in terms}
    return {name: term.learn(flat[name], usable(flat[name])) for name, term in terms.items()}


def _flat(tree: Any, axes: int) -> Any:
    """Leaves with their first `axes` axes as one."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[axes:]), tree)
