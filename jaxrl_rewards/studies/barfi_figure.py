"""Maps of learned weights over the square, and the same numbers as rows."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxrl_rewards.reward_design.barfi import AlignedReward
from jaxrl_rewards.reward_design.barfi_episodes import weight_table
from jaxrl_rewards.studies.barfi_arms import ARMS, cosine_features

TICKS = np.linspace(0.0, 1.0, 41, dtype=np.float32)
TABLE_TICKS = np.linspace(0.0, 1.0, 11, dtype=np.float32)


def grid(ticks: np.ndarray) -> np.ndarray:
    """Points of the square, float32 `[len(ticks)², 2]`, y slowest."""
    x, y = np.meshgrid(ticks, ticks)
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def weight_maps(phi: AlignedReward) -> np.ndarray:
    """Weights on the grid, `[seeds, 1 + K, rows, columns]`, of rewards with a leading seed axis."""
    points = jax.vmap(cosine_features)(grid(TICKS))
    weights = jax.vmap(lambda one: one.weights(points))(phi)
    count = len(TICKS)
    return np.asarray(weights).transpose(0, 2, 1).reshape(len(weights), -1, count, count)


def weight_rows(rewards: dict[str, AlignedReward]) -> list[dict[str, Any]]:
    """Rows `{arm, seed, term, state, weight}` for every arm and seed, on an 11 by 11 grid."""
    points, rows = grid(TABLE_TICKS), []
    for arm, phi in rewards.items():
        for seed in range(phi.bias.shape[0]):
            one = jax.tree.map(lambda leaf, i=seed: leaf[i], phi)
            table = weight_table(one, points, cosine_features, (ARMS[arm].auxiliary,))
            for row in table:
                state = [round(value, 3) for value in row["state"]]
                cut = {"state": state, "weight": round(row["weight"], 4)}
                rows.append({"arm": arm, "seed": seed, **row, **cut})
    return rows


def draw_maps(figure: Any, maps: dict[str, np.ndarray], boxes: dict[str, np.ndarray]) -> None:
    """One column per arm: mean over seeds of the auxiliary weight (top) and of φ_0 (below).

    `boxes` are `[x1, y1, x2, y2]` of "goal" and "bonus".
    """
    from matplotlib.patches import Rectangle

    arms = list(maps)
    figure.set_size_inches(3.1 * len(arms), 6.4)
    axes = figure.subplots(2, len(arms), squeeze=False)
    for column, arm in enumerate(arms):
        mean = maps[arm].mean(axis=0)
        for axis, values, name in (
            (axes[0][column], mean[1], f"weight of {ARMS[arm].auxiliary}"),
            (axes[1][column], mean[0], "free term"),
        ):
            limit = max(float(np.abs(values).max()), 1e-6)
            shown = axis.imshow(
                values, origin="lower", extent=(0, 1, 0, 1), cmap="RdBu", vmin=-limit, vmax=limit
            )
            figure.colorbar(shown, ax=axis, shrink=0.75)
            for box, colour in (("goal", "#008000"), ("bonus", "black")):
                x1, y1, x2, y2 = boxes[box]
                axis.add_patch(
                    Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, lw=1.6)
                )
            axis.plot(0.125, 0.125, "k+", ms=9)
            axis.set_title(f"{arm}\n{name}", fontsize=8)
            axis.tick_params(labelsize=7)
    figure.suptitle(
        "Learned weights, mean over seeds (green: goal, black: bonus box, +: start)", fontsize=10
    )
    figure.tight_layout(rect=(0, 0, 1, 0.97))
