"""Names and conventions of the reward-design vectors."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.reward_design import explicable
from tests.reference.vectors import number_array


def _double(adapter):
    """Run in float64, in which the vectors were made, and hand NumPy arrays back."""

    @functools.wraps(adapter)
    def run(x):
        with jax.enable_x64(True):
            return jax.device_get(adapter(x))

    return run


def _array(value: Any) -> jax.Array:
    return jnp.asarray(number_array(value))


def _problem(x) -> explicable.DesignProblem:
    return explicable.DesignProblem(
        transition=number_array(x["T"]),
        discount=x["gamma"],
        actions=np.asarray(x["pi_star"]),
        optimal=np.asarray(x["optimal_action_mask"], bool),
        margins=number_array(x["delta_inf"]),
        horizons=tuple(x["horizons"]),
        max_reward=x["R_max"],
    )


def _keeps_the_target(problem, design, slack=1.0):
    """The arg-max is not unique: the vectors ask for feasibility instead."""
    assert np.abs(design.reward).max() <= problem.max_reward + 1e-7
    assert problem.shortfall(design.reward, slack).max() <= 1e-6
    outside = np.setdiff1d(np.arange(problem.shape[0]), design.states)
    assert np.all(design.reward[outside] == 0.0)


def _exprd(x):
    problem = _problem(x)
    design = explicable.solve_explicable(problem, x["active_states"])
    _keeps_the_target(problem, design, 1.0 + 1e-5)
    return {"objective": design.objective}


@_double
def _informativeness(x):
    value = explicable.informativeness_exprd(
        _array(x["T"]),
        x["gamma"],
        jnp.asarray(x["pi_star"]),
        _array(x["delta_inf"]),
        tuple(x["horizons"]),
        _array(x["R"]),
    )
    return {"I": value}


@_double
def _potential(x):
    arrays = (_array(x["T"]), x["gamma"], _array(x["R_bar"]), _array(x["V"]))
    return {"R": explicable.potential_shaped_reward(*arrays)}


def _flags(state: int, count: int) -> np.ndarray:
    return np.arange(count) == state


def _visits(x, policy):
    start = _array(x["init_dist"])
    terminal = _flags(x["terminal_state"], len(start))
    return explicable.state_visitation(_array(x["T"]), x["gamma"], start, policy, terminal)


@_double
def _visitation(x):
    return {"mu_s": _visits(x, _array(x["policy"]))}


@_double
def _adaptive(x):
    names = ("R", "A_teacher", "pi_learner", "mu_teacher", "mu_learner_s")
    return {"I": explicable.informativeness_adaptive(*(_array(x[name]) for name in names))}


@_double
def _expadard(x):
    problem, learner = _problem(x), _array(x["pi_learner"])
    weights = explicable.adaptive_weights(
        _array(x["A_teacher"]), learner, _array(x["mu_teacher"]), _visits(x, learner)
    )
    design = explicable.solve_linear(problem, np.asarray(weights))
    _keeps_the_target(problem, design)
    return {"objective": design.objective}


@_double
def _bonus(x):
    counts = _array(x["counts"])
    terminal = _flags(x["terminal_state"], len(counts))
    return {"bonus": explicable.exploration_bonus(counts, x["lmbda"], x["B_max"], terminal)}


def _steps(x, field=None):
    """States, actions, one further field, and the mask, padded to the longest episode."""
    length = max(len(episode) for episode in x["episodes"])
    columns = []
    for name in ("s", "a", field):
        rows = [
            [float(step.get(name, 0)) for step in episode] + [0.0] * (length - len(episode))
            for episode in x["episodes"]
        ]
        columns.append(np.asarray(rows))
    mask = [[i < len(episode) for i in range(length)] for episode in x["episodes"]]
    states, actions, extra = columns
    return states.astype(np.int32), actions.astype(np.int32), extra, np.asarray(mask)


@_double
def _selfrs(x):
    states, actions, _, mask = _steps(x)
    reward = number_array(x["R_bar"])[states, actions]
    returns = jax.vmap(lambda r, m: explicable.discounted_returns(r, m, x["gamma"]))(
        jnp.asarray(reward), jnp.asarray(mask)
    )
    phi, values = explicable.selfrs_update(
        states.reshape(-1),
        actions.reshape(-1),
        returns.reshape(-1),
        mask.reshape(-1),
        _array(x["pi"])[states.reshape(-1)],
        _array(x["phi"]),
        _array(x["V"]),
        x["eta_phi"],
        x["eta_critic"],
        x["clip"],
    )
    return {"phi": phi, "V": values}


@_double
def _reinforce(x):
    states, actions, returns, mask = (part.reshape(-1) for part in _steps(x, "G"))
    theta = explicable.reinforce_tabular_update(
        _array(x["theta"]), x["eta"], states, actions, jnp.asarray(returns), mask
    )
    return {"theta": theta}


ADAPTERS = {
    "expadard_optimal_objective": _expadard,
    "exploration_bonus": _bonus,
    "exprd_optimal_objective": _exprd,
    "informativeness_adaptive": _adaptive,
    "informativeness_exprd": _informativeness,
    "potential_shaped_reward": _potential,
    "reinforce_tabular_update": _reinforce,
    "selfrs_update": _selfrs,
    "state_visitation": _visitation,
}
