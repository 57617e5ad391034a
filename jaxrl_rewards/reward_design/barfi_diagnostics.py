"""What can be said of a finished run of BARFI: its solver, and its weights as maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from jaxrl_rewards.reward_design.barfi import (
    AlignedReward,
    aligned_objective,
    barfi_hypergradient,
)
from jaxrl_rewards.reward_design.barfi_episodes import weight_table
from jaxrl_rewards.reward_design.barfi_loop import Barfi, BarfiResult, BarfiSettings
from jaxrl_rewards.reward_design.known_answers import cosine
from jaxrl_rewards.reward_design.solvers import exact, first_order, neumann


def solver_cosines(
    learner: Barfi, key: jax.Array, settings: BarfiSettings, found: BarfiResult, params: Any
) -> dict[str, Float[Array, ""]]:
    """Cosines of the published series and of first order to the exact solve, at the end of a run.

    The Hessian is indefinite, so the exact solve is damped until it is negative definite: by its
    largest eigenvalue plus a hundredth of its largest magnitude. One run; lift it by `vmap`.
    """
    state = found.state
    fresh = learner.collect(state.theta, key, settings, params)
    batch = jax.tree.map(lambda leaf: leaf[: learner.config.outer_batch], state.buffer)
    flat, unravel = ravel_pytree(state.theta)
    hessian = jax.hessian(
        lambda f: aligned_objective(unravel(f), state.phi, batch, settings.entropy, learner.policy)
    )(flat)
    spectrum = jnp.linalg.eigvalsh(hessian)
    damping = jnp.maximum(spectrum[-1], 0.0) + 0.01 * jnp.max(jnp.abs(spectrum))

    def direction(solver):
        answer = barfi_hypergradient(
            state.theta,
            state.phi,
            fresh,
            batch,
            solver,
            gamma=settings.gamma,
            entropy_weight=settings.entropy,
        )
        return ravel_pytree(answer.gradient)[0]

    solved = direction(exact(damping))
    series = direction(neumann(settings.alpha, learner.config.neumann_loops))
    return {
        "cosine_series": cosine(series, solved),
        "cosine_first_order": cosine(direction(first_order()), solved),
        "damping": damping,
    }


def run_numbers(
    learner: Barfi,
    found: BarfiResult,
    centre: Float[Array, "..."],
    warmup: int,
    *,
    first: int = 500,
    last: int = 180,
) -> dict[str, np.ndarray]:
    """Numbers of runs with a leading axis of seeds: arrays `[seeds]`.

    Returns are undiscounted and of the primary reward, over the first and the last episodes, the
    auxiliary weight that at the observation `centre` and that over the states visited last. Late
    restarts are those whose warm-up (`warmup` rounds) on the primary reward reaches into the last
    episodes, which would then not show what the aligned reward teaches.
    """
    size = learner.config.episodes_per_round
    early, late = max(1, first // size), max(1, last // size)
    seen = learner.features(centre)
    weight = jax.vmap(lambda phi: phi.weights(seen)[1])(found.state.phi)
    found = jax.device_get(found.replace(state=None))
    return {
        "final_return": found.returns[:, -late:].mean(axis=1),
        f"first_{first}": found.returns[:, :early].mean(axis=1),
        "centre_weight": np.asarray(weight),
        "visited_weight": found.weights[:, -late:, 0].mean(axis=1),
        "discount": found.discount[:, -1],
        "stationarity": found.stationarity[:, -late:].mean(axis=1),
        "fallbacks": found.fallbacks.sum(axis=1),
        "restarts": found.restarts.sum(axis=1),
        "late_restarts": found.restarts[:, -(late + warmup) :].sum(axis=1),
    }


def unit_square(points: int) -> np.ndarray:
    """A grid of `points` by `points` over the unit square, float32 `[points², 2]`, y slowest."""
    ticks = np.linspace(0.0, 1.0, points, dtype=np.float32)
    return np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)


def weight_maps(
    phi: AlignedReward, features: Callable[[Array], Float[Array, "D"]], points: int = 41
) -> np.ndarray:
    """Weights over the unit square, `[seeds, 1 + K, y, x]`, of rewards with a leading seed axis."""
    seen = jax.vmap(features)(unit_square(points))
    weights = np.asarray(jax.vmap(lambda one: one.weights(seen))(phi))
    return weights.transpose(0, 2, 1).reshape(len(weights), -1, points, points)


def weight_rows(
    rewards: Mapping[str, AlignedReward],
    features: Callable[[Array], Float[Array, "D"]],
    terms: Mapping[str, str],
    points: int = 11,
) -> list[dict[str, Any]]:
    """Rows `{"arm", "seed", "term", "state", "weight"}` on a grid of the unit square, rounded.

    `rewards` have a leading seed axis and one auxiliary term each, called `terms[arm]`; the free
    term is called "free".
    """
    rows = []
    for arm, phi in rewards.items():
        for seed in range(phi.bias.shape[0]):
            one = jax.tree.map(lambda leaf, i=seed: leaf[i], phi)
            for row in weight_table(one, unit_square(points), features, (terms[arm],)):
                state = [round(value, 3) for value in row["state"]]
                cut = {"state": state, "weight": round(row["weight"], 4)}
                rows.append({"arm": arm, "seed": seed, **row, **cut})
    return rows


def draw_weight_maps(
    figure: Any,
    rewards: Mapping[str, AlignedReward],
    features: Callable[[Array], Float[Array, "D"]],
    terms: Mapping[str, str],
    boxes: Mapping[str, Any],
    start: tuple[float, float],
    title: str,
) -> None:
    """One column per arm: mean over seeds of the auxiliary weight (top) and of φ_0 (below).

    `rewards` and `terms` as for `weight_rows`, `boxes` as for `draw_weight_map`; `start` is marked
    with a cross, and `title` says what the boxes are.
    """
    figure.set_size_inches(3.1 * len(rewards), 6.4)
    axes = figure.subplots(2, len(rewards), squeeze=False)
    for column, (arm, phi) in enumerate(rewards.items()):
        free, auxiliary = weight_maps(phi, features).mean(axis=0)
        named = {f"weight of {terms[arm]}": auxiliary, "free term": free}
        for axis, (name, values) in zip(axes[:, column], named.items(), strict=True):
            draw_weight_map(axis, values, boxes, f"{arm}\n{name}")
            axis.plot(*start, "k+", ms=9)
    figure.suptitle("Learned weights, mean over seeds (" + title + ", +: start)", fontsize=10)
    figure.tight_layout(rect=(0, 0, 1, 0.97))


def draw_weight_map(axis: Any, values: np.ndarray, boxes: Mapping[str, Any], title: str) -> None:
    """A map `[y, x]` of weights over the unit square on a matplotlib axis, red below 0, blue above.

    `boxes` gives outlines by colour, each `[x1, y1, x2, y2]`.
    """
    from matplotlib.patches import Rectangle

    limit = max(float(np.abs(values).max()), 1e-6)
    shown = axis.imshow(
        values, origin="lower", extent=(0, 1, 0, 1), cmap="RdBu", vmin=-limit, vmax=limit
    )
    axis.figure.colorbar(shown, ax=axis, shrink=0.75)
    for colour, (x1, y1, x2, y2) in boxes.items():
        outline = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, lw=1.6)
        axis.add_patch(outline)
    axis.set_title(title, fontsize=8)
    axis.tick_params(labelsize=7)
