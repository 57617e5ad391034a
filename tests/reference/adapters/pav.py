"""Names and conventions of the progress vectors."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxrl_envs.language import planted

from jaxrl_rewards import credit
from tests.reference.vectors import number_array


def _f32(value: Any) -> jax.Array:
    return jnp.asarray(number_array(value), jnp.float32)


def _advantage(x):
    return credit.progress(_f32(x["q_mu"]), _f32(x["v_mu_0"]))


def _effective_reward(x):
    return {"reward": credit.effective_reward(_f32(x["q_pi"]), _advantage(x), x["alpha"])}


def _planted(x):
    target = tuple(x["y_star"])
    table = planted.automaton(target, x["vocab"])
    prover = planted.prover_policy(target, x["vocab"], x["gamma"])
    values, action_values = planted.exact_values(prover, table, x["vocab"] - 1, x["horizon"])
    return {"automaton": table, "V": values, "Q0": action_values[0]}


def _beam_select(x):
    q_pi, q_mu, v_mu = (_f32(x[k]) for k in ("q_pi", "q_mu", "v_mu"))
    beam = credit.beam_select(q_pi, q_mu, v_mu, x["alpha"], x["n_keep"])
    return {"scores": beam.scores, "keep_beam": beam.beam, "keep_candidate": beam.candidate}


def _improvement_bound(x):
    arrays = (_f32(x[k]) for k in ("pi", "a_mu", "a_pi", "rho"))
    return credit.prover_quality(*arrays)._asdict()


def _first_pit(x):
    q = _f32(x.get("q_mc", x.get("q")))
    return {"index": credit.first_pit(q, x["high"], x.get("low", x.get("threshold", 0.0)))}


ADAPTERS = {
    "best_of_k": lambda x: {"q_bok": credit.best_of_k_q(_f32(x["q"]), x["K"])},
    "advantage": lambda x: {"a_mu": _advantage(x)},
    "effective_reward": _effective_reward,
    "planted": _planted,
    "beam_select": _beam_select,
    "improvement_bound": _improvement_bound,
    "first_pit": _first_pit,
}
