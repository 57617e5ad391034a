"""Learners that compare the answers to one prompt, put together from functions.

    sample   (key, policy, env_params)           -> Trajectories [P, G, T, ...]
    score    (played, models, hparams)           -> (RewardOutput [P, G, T], keep [P])
    credit   (played, reward, keep, hparams)     -> advantages [P, G, T]
    loss     (log_prob, old_log_prob, advantages, mask, clip) -> TokenLosses
    partner  a model that learns beside the policy

A one-step world is a bandit; in a longer one a token is an action and an episode is an answer. No
value function. `learners.grpo` is the first instance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import Env, Record, Trajectories, record
from jaxrl_rewards.credit.group import reward_spread
from jaxrl_rewards.credit.outcome import Credit, answer_scores, group_relative
from jaxrl_rewards.learners.acting import acting, actor_policy, unrolled, valid_actions
from jaxrl_rewards.learners.action_head import ActionHead, action_head
from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics
from jaxrl_rewards.learners.config import at_least_one, check_world
from jaxrl_rewards.learners.hparams import at_step
from jaxrl_rewards.learners.optimise import adam, guarded_step
from jaxrl_rewards.losses.aggregate import Aggregate, sequence_mean
from jaxrl_rewards.losses.kl import kl_estimate
from jaxrl_rewards.losses.policy import PolicyLoss, clipped_surrogate, policy_metrics
from jaxrl_rewards.networks.actor_critic import ActorCritic, mlp_actor_critic
from jaxrl_rewards.rewards.base import RewardOutput
from jaxrl_rewards.rollout.sample import Sampler, independent

Scorer = Callable[[Trajectories, dict[str, Any], Any], tuple[RewardOutput, Array]]


class Objective(NamedTuple):
    """How answers with their credit become one number."""

    loss: PolicyLoss = clipped_surrogate
    aggregate: Aggregate = sequence_mean
    """Of the token losses, and of the KL penalty."""
    kl: str = "k3"
    """Estimator of the divergence to the reference policy (`losses.kl_estimate`)."""


class Partner(NamedTuple):
    """A model that learns beside the policy: a reward model, a judge, a belief."""

    init: Callable[[jax.Array, Any], Any]
    """`(key, policy_params) -> model`; kept as `LearnerState.models["partner"]`."""
    update: Callable[..., tuple[Any, Metrics]]
    """`(model, played, keep, models, hparams) -> (model, metrics)`. Scores are taken before it."""


@dataclasses.dataclass(frozen=True)
class GroupConfig:
    """Static sizes of a group learner; part of the compile key."""

    num_prompts: int = 64
    """Prompts (initial states) per update."""
    group_size: int = 8
    """Answers per prompt."""
    horizon: int | None = None
    """Steps an answer may take; the world's own limit when not given."""
    num_epochs: int = 1
    """Passes over the answers per update (the paper's inner steps)."""
    num_minibatches: int = 1
    """Parts of each pass, of whole prompts, shuffled; must divide num_prompts."""
    num_microbatches: int = 1
    """Parts in which a minibatch is computed, one after the other: memory holds the activations of
    one, the gradient is the whole minibatch's. Must divide its prompts; more than 1 costs a further
    forward pass."""
    hidden: tuple[int, ...] = (64, 64)
    """Hidden widths of the default policy."""
    activation: str = "tanh"
    """Activation of the default policy."""

    def __post_init__(self):
        at_least_one(
            self, "num_prompts", "group_size", "num_epochs", "num_minibatches", "num_microbatches"
        )
        if self.num_prompts % self.num_minibatches:
            raise ValueError(
                f"num_minibatches={self.num_minibatches} must divide num_prompts={self.num_prompts}"
            )
        prompts = self.num_prompts // self.num_minibatches
        if prompts % self.num_microbatches:
            raise ValueError(
                f"num_microbatches={self.num_microbatches} must divide a minibatch's {prompts} "
                "prompts"
            )


@record
class GroupHParams(Record):
    """Sweepable numbers; every leaf may be an array with a `vmap` axis, or a schedule."""

    env_params: Any
    learning_rate: Any = 5e-4
    clip_low: Any = 0.2
    clip_high: Any = 0.2
    kl_coefficient: Any = 0.04
    """β of the divergence to the reference policy, added to the loss. 0 switches it off and still
    measures the divergence; None does without: no reference is evaluated, nor kept unless a
    `score` or `partner` may read it."""
    temperature: Any = 1.0
    """Of the policy, when sampling and in every log-probability: divides categorical logits and
    multiplies a Gaussian's variance. Above 0."""
    max_grad_norm: Any = 1.0
    initial_params: Any = None
    """Parameters to start from, the reference policy's too (e.g. a pre-trained policy); a fresh
    initialisation when None."""


def outcome(
    played: Trajectories, models: dict[str, Any], hparams: Any
) -> tuple[RewardOutput, Bool[Array, "P"]]:
    """Scores are the world's own rewards, and every prompt counts."""
    reward = RewardOutput(total=played.reward, terms=played.terms, applicable=played.applicable)
    return reward, jnp.ones(played.reward.shape[0], bool)


def make_group(
    env: Env,
    config: GroupConfig | None = None,
    *,
    network: ActorCritic | None = None,
    sample: Sampler | None = None,
    score: Scorer = outcome,
    credit: Credit | None = None,
    loss: PolicyLoss = clipped_surrogate,
    aggregate: Aggregate = sequence_mean,
    kl: str = "k3",
    partner: Partner | None = None,
    hparams: GroupHParams | None = None,
    initial_params: Any = None,
) -> Learner:
    """A group learner on `env`.

    Args:
      network: an actor-critic whose output fits the action space; an MLP when None. Its critic is
        not used.
      sample: how answers come about, `(key, policy, env_params) -> Trajectories [P, G, T]`;
        `independent` ones when None.
      score: what answers are worth, `(played, models, hparams) -> (RewardOutput [P, G, T],
        keep bool [P])`; where `keep` is false for all prompts nothing moves.
      credit: `(played, reward, keep, hparams) -> advantages [P, G, T]`; relative to the group
        (GRPO) when None.
      loss: `(log_prob, old_log_prob, advantages, mask, clip) -> TokenLosses`, all `[B, T]`.
      aggregate: `(losses, mask) -> scalar`, of the losses and of the KL penalty.
      kl: estimator of the divergence to the reference policy (`losses.kl_estimate`).
      partner: a model that learns beside the policy.
      initial_params: sets `hparams.initial_params`.

    The state's `models` hold "reference" (the initial policy, where anything may read it) and, with
    one, "partner".
    TypeError for a part that is no function, or gives something else.
    """
    _check_parts(sample=sample, score=score, credit=credit, loss=loss, aggregate=aggregate)
    config = config or GroupConfig()
    check_world(env, hparams)
    head = action_head(env.spec.action_space)
    network = network or _default_network(env, config, head.size)
    sample = sample or independent(env, config.num_prompts, config.group_size, config.horizon)
    credit = credit or _default_credit(config)
    hparams = _given_hparams(env, hparams, initial_params)
    optimiser = adam(1e-8)
    learn = passes_over_answers(config, network, head, Objective(loss, aggregate, kl), optimiser)

    read = partner is not None or score is not outcome

    def init(key: jax.Array, hparams: GroupHParams) -> LearnerState:
        return _first_state(key, hparams, network, optimiser, partner, read)

    def update(state: LearnerState, hparams: GroupHParams) -> tuple[LearnerState, Metrics]:
        now = at_step(hparams, state.step)
        key = jax.random.fold_in(state.key, state.step)
        policy = actor_policy(state.params, network, head, env.spec, now.temperature)
        played = _judgeable(sample(key, policy, now.env_params), env)
        reward, keep = _scored(score(played, state.models, now), played)
        advantage = _credited(credit(played, reward, keep, now), played)
        reference = ()
        if now.kl_coefficient is not None:
            initial = state.models["reference"]
            reference = log_probs(initial, network, head, played, now.temperature)
        batch = GroupBatch(played=played, advantage=advantage, keep=keep, reference=reference)
        params, opt_state, refused, metrics = learn(jax.random.fold_in(key, 1), state, batch, now)
        models = state.models
        if partner is not None:
            learnt, told = partner.update(models["partner"], played, keep, models, now)
            models, metrics = {**models, "partner": learnt}, {**metrics, **told}
        return state.replace(
            params=params,
            opt_state=opt_state,
            normaliser={"temperature": now.temperature},
            models=models,
            skipped=state.skipped + refused,
            step=state.step + 1,
        ), {**metrics, **answer_metrics(played, reward, keep)}

    act = _tempered_acting(network, head, env)
    answers = config.num_prompts * config.group_size
    return Learner(init, update, answers, hparams, act, partition=network.partition)


def _first_state(
    key: jax.Array,
    hparams: GroupHParams,
    network: ActorCritic,
    optimiser: optax.GradientTransformation,
    partner: Partner | None,
    read: bool,
) -> LearnerState:
    """Fresh or given parameters, their copy as the reference where one is used (`read`: by others
    than the divergence), and the partner's model."""
    key_params, key_run = jax.random.split(key)
    params = hparams.initial_params
    params = network.init(key_params) if params is None else params
    models = {}
    if read or hparams.kl_coefficient is not None:
        models["reference"] = jax.tree.map(jnp.copy, params)
    if partner is not None:
        models["partner"] = partner.init(jax.random.fold_in(key_params, 1), params)
    return LearnerState(
        params=params,
        opt_state=optimiser.init(params),
        normaliser={"temperature": at_step(hparams, 0).temperature},
        models=models,
        skipped=jnp.zeros((), jnp.int32),
        key=key_run,
        step=jnp.zeros((), jnp.int32),
    )


def _judgeable(played: Trajectories, env: Env) -> Trajectories:
    """Answers with their valid actions; one with a broken step has no score, and none is own."""
    whole = ~jnp.any(played.broken, axis=-1, keepdims=True)
    return played.replace(own=played.own & whole, valid=valid_actions(env.spec, played.obs, lead=3))


def _tempered_acting(network: ActorCritic, head: ActionHead, env: Env) -> Any:
    """Acting at the temperature that answers are sampled with."""
    return acting(
        network,
        head,
        env.spec,
        lambda state, obs: obs,
        lambda state, output: head.temper(output, state.normaliser["temperature"]),
    )


def _default_network(env: Env, config: GroupConfig, size: int) -> ActorCritic:
    """An MLP over the flattened observation, with `size` policy outputs."""
    return mlp_actor_critic(
        env.spec.observation_space,
        size,
        hidden=tuple(config.hidden),
        activate=config.activation,
    )


def _default_credit(config: GroupConfig) -> Credit:
    """GRPO's; ValueError for groups of one, in which it is always 0."""
    if config.group_size < 2:
        raise ValueError(
            f"group_size={config.group_size} teaches nothing: an answer is compared with the "
            "others of its group; use at least 2, or another credit"
        )
    return group_relative()


def _given_hparams(env: Env, hparams: GroupHParams | None, initial_params: Any) -> GroupHParams:
    """The hyper-parameters given or the usual ones, with `initial_params` where given."""
    hparams = hparams or GroupHParams(env_params=env.default_params())
    if initial_params is None:
        return hparams
    return hparams.replace(initial_params=jax.tree.map(jnp.asarray, initial_params))


def _check_parts(**parts: Any) -> None:
    for name, part in parts.items():
        if part is not None and not callable(part):
            raise TypeError(
                f"{name}={part!r} is no function; give one, such as losses.clipped_surrogate or "
                "credit.group_relative('rloo')"
            )


def _scored(found: Any, played: Trajectories) -> tuple[RewardOutput, Array]:
    """What a scorer gave, if it is what it should be."""
    prompts = played.alive.shape[0]
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], RewardOutput)):
        raise TypeError(
            f"score must return (RewardOutput, keep), it returns {type(found).__name__}; begin "
            "with reward, keep = outcome(played, models, hparams)"
        )
    reward, keep = found
    for name, value, shape in (
        ("reward.total", reward.total, played.alive.shape),
        ("keep", keep, (prompts,)),
    ):
        if jnp.shape(value) != shape:
            raise TypeError(f"score's {name} must be {list(shape)}, got {list(jnp.shape(value))}")
    return reward, jnp.asarray(keep, bool)


def _credited(advantage: Any, played: Trajectories) -> Array:
    shape = getattr(advantage, "shape", None)
    if shape != played.alive.shape:
        given = type(advantage).__name__ if shape is None else list(shape)
        raise TypeError(
            f"credit must return advantages {list(played.alive.shape)}, it returns {given}"
        )
    return advantage


@record
class GroupBatch(Record):
    """Answers with their credit; leaves `[P, G, ...]`."""

    played: Trajectories
    advantage: Float[Array, "P G T"]
    keep: Bool[Array, "P"]
    reference: Any
    """Log-probabilities `[P, G, T, K]` of the action's components under the reference policy; ()
    without one."""


def passes_over_answers(
    config: GroupConfig,
    network: ActorCritic,
    head: ActionHead,
    objective: Objective,
    optimiser: optax.GradientTransformation,
) -> Callable[..., tuple[Any, Any, Array, Metrics]]:
    """`(key, state, batch, now) -> (params, opt_state, refused steps, metrics)`."""

    def gradient(params: Any, part: GroupBatch, now: Any) -> tuple[Any, Metrics]:
        if config.num_microbatches == 1:
            loss = jax.grad(group_loss, has_aux=True)
            return loss(params, part, network, head, objective, now)
        return summed_gradient(params, part, network, head, objective, now, config.num_microbatches)

    def minibatch_step(carry: tuple, part: GroupBatch, now: Any) -> tuple[tuple, Metrics]:
        params, opt_state, refused = carry
        grads, metrics = gradient(params, part, now)
        own = jnp.any(part.played.own)
        kept = jnp.any(part.played.own & part.keep[:, None, None])
        step = guarded_step(
            optimiser,
            params,
            opt_state,
            grads,
            now.learning_rate,
            now.max_grad_norm,
            groups=network.groups,
            clip_together=True,
            enabled=kept,
        )
        refused = refused + (step.refused | ~own)
        return (step.params, step.opt_state, refused), {**metrics, "grad_norm": step.norm}

    def learn(key: jax.Array, state: LearnerState, batch: GroupBatch, now: Any):
        def epoch(carry: tuple, key: jax.Array) -> tuple[tuple, Metrics]:
            parts = _parts(key, batch, config.num_minibatches)
            return jax.lax.scan(lambda c, part: minibatch_step(c, part, now), carry, parts)

        carry = (state.params, state.opt_state, jnp.zeros((), jnp.int32))
        keys = jax.random.split(key, config.num_epochs)
        (params, opt_state, refused), metrics = jax.lax.scan(epoch, carry, keys)
        metrics = {name: jnp.mean(value) for name, value in metrics.items()}
        return params, opt_state, refused, {**metrics, "skipped": refused.astype(jnp.float32)}

    return learn


def group_loss(
    params: Any,
    batch: GroupBatch,
    network: ActorCritic,
    head: ActionHead,
    objective: Objective,
    now: Any,
) -> tuple[Float[Array, ""], Metrics]:
    """Aggregate of policy loss + β · KL to the reference, over the answers' own tokens."""
    log_prob = log_probs(params, network, head, batch.played, now.temperature)
    return token_objective(log_prob, batch, objective, now)


def summed_gradient(
    params: Any,
    batch: GroupBatch,
    network: ActorCritic,
    head: ActionHead,
    objective: Objective,
    now: Any,
    count: int,
) -> tuple[Any, Metrics]:
    """The gradient of `group_loss`, part by part; exact for every loss and aggregate.

    All log-probabilities come first, then the loss's slope in them with the whole batch in view,
    then each part's pull on the parameters.
    """
    parts = jax.tree.map(lambda leaf: leaf.reshape(count, -1, *leaf.shape[1:]), batch)

    def told(params: Any, part: GroupBatch) -> Float[Array, "P G T K"]:
        return log_probs(params, network, head, part.played, now.temperature)

    log_prob = jax.lax.map(lambda part: told(params, part), parts)
    whole = log_prob.reshape(-1, *log_prob.shape[2:])
    slope, metrics = jax.grad(token_objective, has_aux=True)(whole, batch, objective, now)

    def add(total: Any, inputs: tuple[GroupBatch, Array]) -> tuple[Any, None]:
        part, pull = inputs
        _, back = jax.vjp(lambda params: told(params, part), params)
        return jax.tree.map(lambda sum, more: sum + more, total, back(pull)[0]), None

    wide = jax.tree.map(
        lambda p: jnp.zeros(p.shape, jnp.promote_types(p.dtype, jnp.float32)), params
    )
    grads, _ = jax.lax.scan(add, wide, (parts, slope.reshape(log_prob.shape)))
    return jax.tree.map(lambda grad, p: grad.astype(p.dtype), grads, params), metrics


def token_objective(
    log_prob: Float[Array, "P G T K"],
    batch: GroupBatch,
    objective: Objective,
    now: Any,
) -> tuple[Float[Array, ""], Metrics]:
    """The same from given log-probabilities; an action's components are tokens of one row.

    The metric `kl` is there with a reference only.
    """
    played = batch.played
    own = played.own & batch.keep[:, None, None]

    def rows(values: Array) -> Array:
        whole = jnp.broadcast_to(
            values if values.ndim == log_prob.ndim else values[..., None], log_prob.shape
        )
        return whole.reshape(whole.shape[0] * whole.shape[1], -1)

    mask = rows(own)
    tokens = objective.loss(
        rows(log_prob),
        rows(played.log_prob),
        rows(batch.advantage),
        mask,
        (now.clip_low, now.clip_high),
    )
    policy = objective.aggregate(tokens.loss, mask)
    told = policy_metrics(tokens, mask)
    metrics = {
        "policy_loss": policy,
        "clip_fraction": told["clip_fraction"],
        "approx_kl": told["approx_kl"],
    }
    if now.kl_coefficient is None:
        return policy, metrics
    divergence = kl_estimate(rows(log_prob), rows(batch.reference), objective.kl, mask)
    penalty = objective.aggregate(divergence, mask)
    return policy + now.kl_coefficient * penalty, {**metrics, "kl": penalty}


def log_probs(
    params: Any, network: ActorCritic, head: ActionHead, played: Trajectories, temperature: Array
) -> Float[Array, "P G T K"]:
    """Log-probability of every action component of `[P, G, T]`, in one pass."""
    lead = played.alive.shape[:2]
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), played)
    output, _ = unrolled(network, params, flat)
    output = head.temper(output, temperature)
    values = head.token_log_prob(output, flat.action)
    return values.reshape(*lead, *values.shape[1:])


def answer_metrics(played: Trajectories, reward: RewardOutput, keep: Bool[Array, "P"]) -> Metrics:
    """Scores, lengths and terms of the answers; those whose world broke count as 0."""
    scores = jnp.nan_to_num(answer_scores(played, reward), nan=0.0)

    def total(values: Array) -> Array:
        return jnp.mean(jnp.sum(jnp.where(played.alive, values, 0.0), axis=-1))

    return {
        "score": jnp.mean(scores),
        "score_best": jnp.mean(jnp.max(scores, axis=1)),
        "groups_with_spread": reward_spread(scores),
        "kept": jnp.mean(keep.astype(jnp.float32)),
        "broken": jnp.mean(jnp.any(played.broken, axis=-1).astype(jnp.float32)),
        "length": jnp.mean(jnp.sum(played.alive, axis=-1).astype(jnp.float32)),
        **{f"term/{name}": total(value) for name, value in reward.terms.items()},
    }


def _parts(key: jax.Array, batch: GroupBatch, count: int) -> GroupBatch:
    """The batch in `count` shuffled parts of whole prompts; leaves `[count, P / count, ...]`."""
    if count == 1:
        return jax.tree.map(lambda leaf: leaf[None], batch)
    order = jax.random.permutation(key, batch.keep.shape[0]).reshape(count, -1)
    return jax.tree.map(lambda leaf: leaf[order], batch)


__all__ = ["GroupConfig", "GroupHParams", "Partner", "Scorer", "make_group", "outcome"]
