"""Group relative policy optimisation (DeepSeekMath, arXiv 2402.03300) on any world.

Every update draws prompts (initial states), answers each of them `group_size` times with the
current policy, and compares an answer with the others of its group. No value function. A one-step
world is a bandit; in a longer one a token is an action, and a whole episode is one answer.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxrl_rewards.core import Env, record
from jaxrl_rewards.core.mesh import shard_batch
from jaxrl_rewards.credit.group import group_advantages, reward_spread
from jaxrl_rewards.credit.normalise import masked_whiten
from jaxrl_rewards.learners.action_head import ActionHead, action_head
from jaxrl_rewards.learners.api import Learner, LearnerState, Metrics
from jaxrl_rewards.learners.optimise import adam, guarded_step, hparam_at
from jaxrl_rewards.losses.aggregate import MODES as AGGREGATIONS
from jaxrl_rewards.losses.aggregate import aggregate
from jaxrl_rewards.losses.kl import KINDS as KL_KINDS
from jaxrl_rewards.losses.kl import kl_estimate
from jaxrl_rewards.losses.policy import KINDS, policy_loss
from jaxrl_rewards.networks.actor_critic import ActorCritic, mlp_actor_critic
from jaxrl_rewards.rewards.base import resolve_schedules

ADVANTAGES = ("grpo", "dr_grpo", "rloo", "pass_at_k", "reinforce_plus_plus")


@dataclasses.dataclass(frozen=True)
class GRPOConfig:
    """Static sizes and switches of GRPO; part of the compile key."""

    num_prompts: int = 64
    """Initial states per update."""
    group_size: int = 8
    """Answers per initial state."""
    horizon: int | None = None
    """Steps an answer may take; the world's own limit when not given."""
    num_epochs: int = 1
    """Passes over the answers per update (the paper's inner steps)."""
    advantage: str = "grpo"
    """grpo, dr_grpo, rloo, pass_at_k or reinforce_plus_plus (group mean, batch whitening)."""
    loss: str = "grpo"
    """Policy loss: grpo, dapo, gspo, cispo, sapo, ppo or reinforce."""
    aggregation: str | None = None
    """How token losses are averaged; the loss's usual way when not given."""
    kl: str = "k3"
    """Estimator of the divergence to the reference policy: k1, k2, k3, k3+ or abs."""
    epsilon: float = 1e-4
    """Added to the group's deviation."""
    hidden: tuple[int, ...] = (64, 64)
    """Hidden widths of the default policy."""
    activation: str = "tanh"
    """Activation of the default policy."""

    def __post_init__(self):
        for name in ("num_prompts", "group_size", "num_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        choices = {
            "advantage": ADVANTAGES,
            "loss": KINDS,
            "kl": KL_KINDS,
            "aggregation": (None, *AGGREGATIONS),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is unknown; choose one of {allowed}"
                )


@record
class GRPOHParams:
    """Sweepable numbers; every leaf may be an array with a `vmap` axis, or a schedule."""

    env_params: Any
    learning_rate: Any = 5e-4
    clip_low: Any = 0.2
    clip_high: Any = 0.2
    kl_coefficient: Any = 0.04
    """β of the divergence to the reference policy, added to the loss; 0 switches it off."""
    temperature: Any = 1.0
    """Of the policy, when sampling and in every log-probability: divides categorical logits and
    multiplies a Gaussian's variance. Above 0."""
    max_grad_norm: Any = 1.0


@record
class Answers:
    """What one update sampled; leaves `[P, G, ...]`, tokens `[P, G, T, K]`."""

    obs: Any
    action: Any
    log_prob: Float[Array, "P G T K"]
    ref_log_prob: Float[Array, "P G T K"]
    alive: Bool[Array, "P G T"]
    score: Float[Array, "P G"]
    terms: dict[str, Float[Array, "P G"]]


def make_grpo(
    env: Env,
    config: GRPOConfig | None = None,
    *,
    network: ActorCritic | None = None,
    hparams: GRPOHParams | None = None,
    initial_params: Any = None,
) -> Learner:
    """GRPO on `env`.

    The reference policy is the initial one (`initial_params`, e.g. a pre-trained policy, or a
    fresh initialisation); it is kept in `LearnerState.models`. Recurrent networks are refused.
    """
    config = config or GRPOConfig()
    head = action_head(env.spec.action_space)
    network = network or mlp_actor_critic(
        env.spec.observation_space,
        head.size,
        hidden=tuple(config.hidden),
        activate=config.activation,
    )
    if network.recurrent:
        raise ValueError("make_grpo needs a network without memory; this one is recurrent")
    horizon = env.spec.max_steps if config.horizon is None else config.horizon
    hparams = hparams or GRPOHParams(env_params=env.default_params())
    optimiser = adam(1e-8)

    def init(key: jax.Array, hparams: GRPOHParams) -> LearnerState:
        key_params, key_run = jax.random.split(key)
        params = network.init(key_params) if initial_params is None else initial_params
        params = jax.tree.map(jnp.asarray, params)
        return LearnerState(
            params=params,
            opt_state=optimiser.init(params),
            models={"reference": params},
            skipped=jnp.zeros((), jnp.int32),
            key=key_run,
            step=jnp.zeros((), jnp.int32),
        )

    def update(state: LearnerState, hparams: GRPOHParams) -> tuple[LearnerState, Metrics]:
        step = state.step
        key = jax.random.fold_in(state.key, step)
        env_params = resolve_schedules(hparams.env_params, step)
        temperature = hparam_at(hparams.temperature, step)
        reference = state.models["reference"]
        answers = sample_answers(
            key,
            env,
            env_params,
            lambda obs: head.temper(network.actor(state.params, obs, ())[0], temperature),
            lambda obs: head.temper(
                network.actor(state.models["reference"], obs, ())[0], temperature
            ),
            head,
            num_prompts=config.num_prompts,
            group_size=config.group_size,
            horizon=horizon,
        )
        advantage = answer_advantages(answers, config)
        numbers = {
            name: hparam_at(getattr(hparams, name), step)
            for name in ("clip_low", "clip_high", "kl_coefficient")
        }

        def loss_fn(params):
            output = head.temper(network.actor(params, answers.obs, ())[0], temperature)
            log_prob = head.token_log_prob(output, answers.action)
            return grpo_loss(log_prob, answers, advantage, config, numbers)

        def epoch(carry, _):
            params, opt_state, refused = carry
            grads, metrics = jax.grad(loss_fn, has_aux=True)(params)
            params, opt_state, bad, norm = guarded_step(
                optimiser,
                params,
                opt_state,
                grads,
                hparam_at(hparams.learning_rate, step),
                hparam_at(hparams.max_grad_norm, step),
            )
            return (params, opt_state, refused + bad), {**metrics, "grad_norm": norm}

        carry = (state.params, state.opt_state, jnp.zeros((), jnp.int32))
        carry, metrics = jax.lax.scan(epoch, carry, None, length=config.num_epochs)
        params, opt_state, refused = carry
        metrics = {name: jnp.mean(value) for name, value in metrics.items()}
        metrics |= {
            "score": jnp.mean(answers.score),
            "score_best": jnp.mean(jnp.max(answers.score, axis=1)),
            "groups_with_spread": reward_spread(answers.score),
            "length": jnp.mean(jnp.sum(answers.alive, axis=-1).astype(jnp.float32)),
            "skipped": refused.astype(jnp.float32),
            **{f"term/{name}": jnp.mean(value) for name, value in answers.terms.items()},
        }
        return state.replace(
            params=params,
            opt_state=opt_state,
            skipped=state.skipped + refused,
            step=step + 1,
        ), metrics

    def act(state: LearnerState, obs: Any, carry: Any, key: Any, deterministic: bool = True):
        output = network.actor(state.params, obs, ())[0]
        action = head.mode(output) if deterministic else head.sample(key, output)[0]
        return head.to_env(action), carry

    return Learner(init, update, config.num_prompts * config.group_size, hparams, act)


def sample_answers(
    key: jax.Array,
    env: Env,
    env_params: Any,
    policy: Any,
    reference: Any,
    head: ActionHead,
    *,
    num_prompts: int,
    group_size: int,
    horizon: int,
) -> Answers:
    """Reset `num_prompts` worlds, and play each `group_size` times from the same initial state.

    `policy(obs)` and `reference(obs)` give head outputs for observations `[P, G, ...]`.
    Steps after an answer's end are masked.
    """
    key_reset, key_play = jax.random.split(key)
    keys = jax.random.split(key_reset, num_prompts)
    state, timestep = jax.vmap(env.reset, in_axes=(0, None))(keys, env_params)

    def repeat(leaf: Array) -> Array:
        shape = (num_prompts, group_size, *leaf.shape[1:])
        return jnp.broadcast_to(leaf[:, None], shape)

    state, timestep = shard_batch(jax.tree.map(repeat, (state, timestep)))
    env_step = jax.vmap(jax.vmap(env.step, in_axes=(0, 0, 0, None)), in_axes=(0, 0, 0, None))

    def step(carry, step_key):
        state, obs, alive = carry
        key_action, key_env = jax.random.split(step_key)
        output = policy(obs)
        action, _ = head.sample(key_action, output)
        log_prob = head.token_log_prob(output, action)
        ref_log_prob = head.token_log_prob(reference(obs), action)
        keys = jax.random.split(key_env, (num_prompts, group_size))
        state, nxt = env_step(keys, state, head.to_env(action), env_params)
        out = (obs, action, log_prob, ref_log_prob, alive, nxt.reward, nxt.terms)
        return (state, nxt.obs, alive & ~nxt.done), out

    alive = jnp.ones((num_prompts, group_size), bool)
    keys = jax.random.split(key_play, horizon)
    _, out = jax.lax.scan(step, (state, timestep.obs, alive), keys)
    obs, action, log_prob, ref_log_prob, alive, reward, terms = jax.tree.map(
        lambda leaf: jnp.moveaxis(leaf, 0, 2), out
    )

    def total(values: Array) -> Array:
        return jnp.sum(jnp.where(alive, values, 0.0), axis=-1)

    return Answers(
        obs=obs,
        action=action,
        log_prob=log_prob,
        ref_log_prob=ref_log_prob,
        alive=alive,
        score=total(reward),
        terms=jax.tree.map(total, terms),
    )


def answer_advantages(answers: Answers, config: GRPOConfig) -> Float[Array, "P G"]:
    """One advantage per answer, relative to its group."""
    mode = "dr_grpo" if config.advantage == "reinforce_plus_plus" else config.advantage
    advantage = jax.vmap(
        lambda scores: group_advantages(scores, mode=mode, epsilon=config.epsilon)
    )(answers.score)
    if config.advantage == "reinforce_plus_plus":
        advantage = masked_whiten(advantage, jnp.ones_like(advantage))
    return advantage


def grpo_loss(
    log_prob: Float[Array, "P G T K"],
    answers: Answers,
    advantage: Float[Array, "P G"],
    config: GRPOConfig,
    numbers: dict[str, Float[Array, ""]],
) -> tuple[Float[Array, ""], Metrics]:
    """Policy loss + β · KL to the reference, over the answers' tokens (eq. 3 of the paper)."""
    rows = advantage.size
    mask = jnp.broadcast_to(answers.alive[..., None], log_prob.shape).reshape(rows, -1)
    log_prob = log_prob.reshape(rows, -1)
    loss, policy_metrics = policy_loss(
        log_prob,
        answers.log_prob.reshape(rows, -1),
        advantage.reshape(rows),
        mask.astype(jnp.float32),
        kind=config.loss,
        clip_low=numbers["clip_low"],
        clip_high=numbers["clip_high"],
        aggregation=config.aggregation,
    )
    reference = answers.ref_log_prob.reshape(rows, -1)
    kl = kl_estimate(jnp.where(mask, log_prob, 0.0), jnp.where(mask, reference, 0.0), config.kl)
    kl = aggregate(kl, mask.astype(jnp.float32), config.aggregation or "seq-mean-token-mean")
    metrics = {
        "policy_loss": loss,
        "kl": kl,
        "clip_fraction": policy_metrics["clip_fraction"],
        "approx_kl": policy_metrics["approx_kl"],
    }
    return loss + numbers["kl_coefficient"] * kl, metrics
