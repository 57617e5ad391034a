"""Names, axes and conventions of the learner mathematics' vectors."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards import credit, losses
from tests.credit.conventions import gae_brax, gae_single_done
from tests.losses.named import aggregate, policy_loss
from tests.reference.vectors import number_array

_KL_NAMES = {
    "kl": "k1",
    "mse": "k2",
    "low_var_kl": "k3",
    "k3": "k3",
    "k3+": "k3+",
    "low_var_kl+": "k3+",
}
_TRL_AGGREGATION = {
    "grpo": "seq-mean-token-mean",
    "bnpo": "token-mean",
    "dapo": "token-mean",
    "cispo": "token-mean",
    "sapo": "seq-mean-token-mean",
    "dr_grpo": "seq-mean-token-sum-norm",
}


def _f32(value: Any) -> jax.Array:
    return jnp.asarray(number_array(value), jnp.float32)


def _groups(index: Any) -> tuple[jax.Array, int]:
    names, group = np.unique(np.asarray(index), return_inverse=True)
    return jnp.asarray(group, jnp.int32), len(names)


def _rows(x: dict[str, Any]) -> tuple[jax.Array, jax.Array, jax.Array, int]:
    rewards, mask = _f32(x["token_level_rewards"]), _f32(x["response_mask"])
    return rewards, mask, *_groups(x["index"])


def _gae_token(x):
    arrays = (_f32(x[k]) for k in ("token_level_rewards", "values", "response_mask"))
    rewards, values, mask = arrays
    kernel = jax.vmap(credit.token_gae, in_axes=(0, 0, 0, None, None))
    raw, returns = kernel(rewards, values, mask, x["gamma"], x["lam"])
    whitened = credit.masked_whiten(raw, mask)
    return {"raw_advantages": raw, "advantages": whitened, "returns": returns}


def _time_major(kernel, *arrays, discount, trace_decay):
    """Map a rank-1 kernel over the batch axis of `[T, B]` (or `[B]`) arrays."""
    axes = tuple(a.ndim - 1 for a in arrays)
    lifted = jax.vmap(lambda *a: kernel(*a, discount, trace_decay), in_axes=axes, out_axes=1)
    return lifted(*arrays)


def _gae_env(x):
    names = ("rewards", "values", "next_values", "terminated", "truncated")
    advantages, returns = _time_major(
        credit.gae, *(_f32(x[n]) for n in names), discount=x["gamma"], trace_decay=x["lam"]
    )
    return {"advantages": advantages, "returns": returns}


def _gae_done(x):
    names = ("rewards", "values", "last_value", "done")
    advantages, targets = _time_major(
        gae_single_done,
        *(_f32(x[n]) for n in names),
        discount=x["gamma"],
        trace_decay=x["lam"],
    )
    return {"advantages": advantages, "targets": targets}


def _gae_brax(x):
    names = ("rewards", "values", "bootstrap_value", "termination", "truncation")
    targets, advantages = _time_major(
        gae_brax,
        *(_f32(x[n]) for n in names),
        discount=x["discount"],
        trace_decay=x["lambda_"],
    )
    return {"vs": targets, "advantages": advantages}


def _segment(x, mode, **options):
    rewards, mask, group, count = _rows(x)
    advantages = credit.segment_advantages(
        rewards.sum(axis=1), group, count, mode=mode, lone_answer="score", **options
    )
    return {"advantages": advantages[:, None] * mask}


def _group_advantage_verl(x):
    mode = "grpo" if x.get("norm_adv_by_std", True) else "dr_grpo"
    return _segment(x, mode, epsilon=x.get("epsilon", 1e-6))


def _rloo_advantage(x):
    return _segment(x, "rloo")


def _opo(x):
    return _segment(x, "opo", lengths=_f32(x["response_mask"]).sum(axis=1))


def _grpo_passk(x):
    mode = "pass_at_k" if x.get("norm_adv_by_std", True) else "pass_at_k_margin"
    return _segment(x, mode, epsilon=x.get("epsilon", 1e-6))


def _group_advantage_trl(x):
    rewards = _f32(x["rewards_per_func"])
    group = jnp.arange(rewards.shape[0]) // x["num_generations"]
    advantages = credit.multi_reward_advantages(
        rewards,
        _f32(x["weights"]),
        group,
        rewards.shape[0] // x["num_generations"],
        aggregation=x["aggregation"].replace("normalize", "normalise"),
        scale=str(x["scale_rewards"]),
        epsilon=x.get("epsilon", 1e-4),
    )
    return {"advantages": advantages}


def _rloo_trl(x):
    rewards = _f32(x["rewards"])
    group = jnp.arange(rewards.shape[0]) // x["num_generations"]
    count = rewards.shape[0] // x["num_generations"]
    normalise = bool(x.get("normalize", False))
    return {"advantages": credit.rloo_advantages(rewards, group, count, normalise=normalise)}


def _reinforce_pp(x):
    advantages, returns = credit.reinforce_plus_plus(
        _f32(x["token_level_rewards"]), _f32(x["response_mask"]), x["gamma"]
    )
    return {"advantages": advantages, "returns": returns}


def _reinforce_pp_baseline(x):
    rewards, mask, group, count = _rows(x)
    scores = rewards.sum(axis=1)
    return {"advantages": credit.reinforce_plus_plus_baseline(scores, mask, group, count)}


def _remax(x):
    advantages, returns = credit.remax(
        _f32(x["token_level_rewards"]), _f32(x["reward_baselines"]), _f32(x["response_mask"])
    )
    return {"advantages": advantages, "returns": returns}


def _agg_loss(x):
    loss, mask = _f32(x["loss_mat"]), _f32(x["loss_mask"])
    return {"loss": aggregate(loss, mask, x["mode"], x.get("norm"))}


# verl's own rule for these two, whatever aggregation is configured.
_VERL_AGGREGATION = {"gspo": "seq-mean-token-mean", "sapo": "seq-mean-token-mean"}


def _policy(kind, x, aggregation, **options):
    """Our loss, its gradient and its metrics in verl's names."""
    log_prob, old, advantages = (_f32(x[k]) for k in ("log_prob", "old_log_prob", "advantages"))
    mask = _f32(x["response_mask"])

    def loss(log_prob):
        return policy_loss(
            log_prob, old, advantages, mask, kind=kind, aggregation=aggregation, **options
        )

    (value, metrics), grad = jax.value_and_grad(loss, has_aux=True)(log_prob)
    return {
        "loss": value,
        "grad": grad,
        "clipfrac": metrics["clip_fraction"],
        "clipfrac_lower": metrics["dual_clip_fraction"],
        "ppo_kl": metrics["approx_kl"],
    }


def _verl(kind):
    def adapter(x):
        return _policy(
            kind,
            x,
            _VERL_AGGREGATION.get(kind, x["loss_agg_mode"]),
            clip_low=x.get("clip_ratio_low", 0.2),
            clip_high=x.get("clip_ratio_high", 0.2),
            dual_clip=x.get("clip_ratio_c") if kind == "ppo" else None,
            **(
                {"temperature_positive": x["tau_pos"], "temperature_negative": x["tau_neg"]}
                if kind == "sapo"
                else {}
            ),
        )

    return adapter


def _openrlhf(x):
    named = {
        "log_prob": x["log_probs"],
        "old_log_prob": x["old_log_probs"],
        "advantages": x["advantages"],
        "response_mask": x["action_mask"],
    }
    aggregation = "token-mean" if x.get("token_level_loss", True) else "seq-mean-token-mean"
    out = _policy(
        "ppo",
        named,
        aggregation,
        clip_low=x["clip_eps_low"],
        clip_high=x["clip_eps_high"],
        dual_clip=x.get("dual_clip"),
    )
    return {**out, "clip_ratio": out["clipfrac"]}


def _trl_grpo_loss(x):
    names = ("per_token_logps", "old_per_token_logps", "ref_per_token_logps", "advantages", "mask")
    log_prob, old, ref, advantages, mask = (_f32(x[n]) for n in names)
    loss_type = x["loss_type"]
    aggregation = _TRL_AGGREGATION[loss_type]
    norm = float(mask.shape[0] * x["max_completion_length"]) if loss_type == "dr_grpo" else None
    kind = loss_type if loss_type in ("cispo", "sapo") else "grpo"
    if x.get("importance_sampling_level", "token") == "sequence":
        kind = "gspo"
    low, high = x["epsilon_low"], x["epsilon_high"]
    if kind == "cispo":  # an absolute bound from above, none from below
        low, high = 1.0, high - 1.0

    def loss(log_prob):
        value, _ = policy_loss(
            log_prob,
            old,
            advantages,
            mask,
            kind=kind,
            clip_low=low,
            clip_high=high,
            ratio_limit=x.get("delta"),
            aggregation=aggregation,
            norm=norm,
            count_empty=True,
        )
        kl = losses.kl_estimate(log_prob, ref, "k3")
        kl = aggregate(kl, mask, aggregation, norm, count_empty=True)
        return value + x["beta"] * kl

    value, grad = jax.value_and_grad(loss)(log_prob)
    return {"loss": value, "grad": grad}


def _value_loss(x):
    returns, old, mask = (_f32(x[k]) for k in ("returns", "values", "response_mask"))

    def loss(values):
        return losses.value_loss(
            values,
            returns,
            mask,
            old_values=old,
            clip=x["cliprange_value"],
            aggregate=losses.AGGREGATES[x.get("loss_agg_mode", "token-mean")],
        )

    (value, metrics), grad = jax.value_and_grad(loss, has_aux=True)(_f32(x["vpreds"]))
    return {"loss": value, "grad": grad, "clipfrac": metrics["value_clip_fraction"]}


def _kl(x):
    log_prob, ref = _f32(x["logprob"]), _f32(x["ref_logprob"])
    kind = _KL_NAMES.get(x["estimator"], x["estimator"])
    limits = {"log_ratio_limit": 20.0, "value_limit": 10.0} if kind in ("k3", "k3+") else {}

    def estimate(log_prob):
        return losses.kl_estimate(log_prob, ref, kind, **limits)

    grad = jax.grad(lambda p: estimate(p).sum())(log_prob)
    return {"kl": estimate(log_prob), "grad": grad}


def _masked_whiten(x):
    shift = bool(x.get("shift_mean", True))
    return {"out": credit.masked_whiten(_f32(x["values"]), _f32(x["mask"]), shift_mean=shift)}


def _entropy(x):
    return {"entropy": losses.categorical_entropy(_f32(x["logits"]))}


def _overlong(x):
    penalty = credit.overlong_penalty(
        _f32(x["response_length"]),
        x["max_response_length"],
        x["buffer_length"],
        x.get("penalty_factor", 1.0),
    )
    return {"penalty": penalty}


ADAPTERS = {
    "agg_loss": _agg_loss,
    "cispo_loss": _verl("cispo"),
    "entropy_from_logits": _entropy,
    "gae_brax": _gae_brax,
    "gae_done": _gae_done,
    "gae_env": _gae_env,
    "gae_token": _gae_token,
    "group_advantage_trl": _group_advantage_trl,
    "group_advantage_verl": _group_advantage_verl,
    "grpo_passk": _grpo_passk,
    "gspo_loss": _verl("gspo"),
    "kl": _kl,
    "kl_grad": _kl,
    "masked_whiten": _masked_whiten,
    "openrlhf_policy_loss": _openrlhf,
    "opo": _opo,
    "overlong_penalty": _overlong,
    "ppo_loss": _verl("ppo"),
    "reinforce_pp": _reinforce_pp,
    "reinforce_pp_baseline": _reinforce_pp_baseline,
    "remax": _remax,
    "rloo_advantage": _rloo_advantage,
    "rloo_trl": _rloo_trl,
    "sapo_loss": _verl("sapo"),
    "trl_grpo_loss": _trl_grpo_loss,
    "value_loss": _value_loss,
}
