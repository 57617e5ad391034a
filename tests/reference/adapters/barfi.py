"""Names and conventions of the bi-level vectors; features are the identity."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_rewards.reward_design import barfi, implicit
from tests.reference.vectors import number_array


def _double(adapter):
    """Run in float64, in which the vectors were made, as one program; NumPy arrays back."""

    @functools.wraps(adapter)
    def run(x):
        with jax.enable_x64(True):
            return jax.device_get(jax.jit(lambda: adapter(x))())

    return run


def _array(value: Any) -> jax.Array:
    return jnp.asarray(number_array(value))


def _episodes(traj: dict[str, Any]) -> barfi.Episodes:
    return barfi.Episodes(
        features=_array(traj["features"]),
        actions=jnp.asarray(traj["actions"], jnp.int32),
        primary=_array(traj["r_p"]),
        auxiliary=_array(traj["r_aux"])[..., None],
        mask=_array(traj["mask"]),
    )


def _theta(x):
    return barfi.LinearPolicy(kernel=_array(x["theta_W"]), bias=_array(x["theta_b"]))


def _phi(x):
    return barfi.AlignedReward(
        kernel=_array(x["reward_W"]),
        bias=_array(x["reward_b"]),
        discount_logit=_array(x["gamma_param"]),
    )


def _value_and_gradient(objective, theta):
    value, gradient = jax.value_and_grad(objective)(theta)
    return {"J": value, "grad_theta_W": gradient.kernel, "grad_theta_b": gradient.bias}


@_double
def _primary(x):
    episodes = _episodes(x["traj"])
    return _value_and_gradient(
        lambda t: barfi.primary_objective(t, episodes, x["gamma"], x["entropy_coef"]), _theta(x)
    )


@_double
def _aligned(x):
    episodes, phi = _episodes(x["traj"]), _phi(x)
    return _value_and_gradient(
        lambda t: barfi.aligned_objective(t, phi, episodes, x["entropy_coef"]), _theta(x)
    )


def _hypergradient(x, solver):
    phi = _phi(x)
    found = barfi.barfi_hypergradient(
        _theta(x),
        phi,
        _episodes(x["on_policy"]),
        _episodes(x["buffer"]),
        solver,
        gamma=x["gamma"],
        entropy_weight=x["entropy_coef"],
        reward_penalty=x["reward_l2"],
        discount_penalty=x["gamma_reg"],
    ).gradient
    return {
        "ascent_reward_W": found.kernel,
        "ascent_reward_b": found.bias,
        "ascent_gamma_param": found.discount_logit[None],
    }


@_double
def _neumann(x):
    return _hypergradient(x, implicit.neumann(x["neumann_alpha"], x["neumann_loops"]))


@_double
def _first_order(x):
    return _hypergradient(x, implicit.first_order())


@_double
def _series(x):
    """The vectors hold `v H⁻¹` for a negative definite H; ours is the inverse of `−H`."""
    hessian, vector, mixed = (_array(x[name]) for name in ("H", "v", "A"))
    found = implicit.neumann_series(lambda u: -hessian @ u, vector, x["alpha"], x["loops"])
    solved, _ = implicit.exact().solve(lambda u: hessian @ u, vector)
    return {"vHinv": -found, "minus_vHinvA": found @ mixed, "exact_vHinv": -solved}


@_double
def _potential(x):
    arrays = (_array(x[name]) for name in ("r_p", "r_aux", "mask", "gamma"))
    return {"returns": barfi.potential_returns(*arrays)}


ADAPTERS = {
    "aligned_objective": _aligned,
    "implicit_hypergradient_first_order": _first_order,
    "implicit_hypergradient_neumann": _neumann,
    "neumann_inverse_vector_product": _series,
    "pbrs_return": _potential,
    "primary_objective": _primary,
}
