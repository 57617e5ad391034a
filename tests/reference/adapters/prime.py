"""Names and conventions of PRIME's vectors."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_rewards import credit
from jaxrl_rewards.reward_models import implicit
from tests.reference.vectors import number_array


def _f32(value: Any) -> jax.Array:
    return jnp.asarray(number_array(value), jnp.float32)


def _implicit_reward(x):
    log_prob, reference, mask = (_f32(x[k]) for k in ("log_prob", "ref_log_prob", "mask"))
    score = implicit.implicit_rewards(
        log_prob, reference, mask, norm="none", granularity=x["granularity"]
    )
    everywhere = jnp.ones_like(mask)  # the vectors' q is not masked
    return {
        "token_level_score": score,
        "q": implicit.log_ratios(log_prob, reference, everywhere),
    }


def _ce_loss(x):
    outcome, mask = _f32(x["outcome"]), _f32(x["mask"])

    def loss(q):
        return implicit.implicit_cross_entropy(q, jnp.zeros_like(q), outcome, mask, x["beta"])

    value, grad = jax.value_and_grad(loss)(_f32(x["q"]))
    return {"loss": value, "grad": grad}


def _advantage(x, variant: str, whiten: bool):
    arrays = (_f32(x[k]) for k in ("rm_scores", "outcome", "mask"))
    return credit.prime_advantage(*arrays, x["K"], x["gamma"], variant=variant, whiten=whiten)


def _rloo_official(x):
    return {
        "returns": _advantage(x, "official", False),
        "advantages": _advantage(x, "official", True),
    }


def _dpo_accuracy(x):
    arrays = (_f32(x[k]) for k in ("scores", "outcome", "mask"))
    return {"accuracy": implicit.pairwise_accuracy(*arrays, x["K"])}


def _prompt_filter(x):
    outcome = _f32(x["outcome"]).reshape(-1, x["K"])
    return {"keep": credit.prompt_filter(outcome, x["lower"], x["upper"])}


ADAPTERS = {
    "implicit_reward": _implicit_reward,
    "batch_norm": lambda x: {"scores": implicit.batch_normalise(_f32(x["scores"]))},
    "ce_loss": _ce_loss,
    "rloo_official": _rloo_official,
    "rloo_paper": lambda x: {"advantages": _advantage(x, "paper", False)},
    "dpo_accuracy": _dpo_accuracy,
    "prompt_filter": _prompt_filter,
}
