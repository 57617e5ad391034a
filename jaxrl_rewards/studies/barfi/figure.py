"""Maps of learned weights over the square."""

from __future__ import annotations

from typing import Any

from jaxrl_rewards.networks.cosine_basis import cosine_basis
from jaxrl_rewards.reward_design.barfi import AlignedReward
from jaxrl_rewards.reward_design.barfi_diagnostics import draw_weight_map, weight_maps
from jaxrl_rewards.studies.barfi.arms import ARMS


def draw_maps(figure: Any, rewards: dict[str, AlignedReward], goal: Any, bonus: Any) -> None:
    """One column per arm: mean over seeds of the auxiliary weight (top) and of φ_0 (below)."""
    figure.set_size_inches(3.1 * len(rewards), 6.4)
    axes = figure.subplots(2, len(rewards), squeeze=False)
    for column, (arm, phi) in enumerate(rewards.items()):
        free, auxiliary = weight_maps(phi, cosine_basis).mean(axis=0)
        named = {f"weight of {ARMS[arm].auxiliary}": auxiliary, "free term": free}
        for axis, (name, values) in zip(axes[:, column], named.items(), strict=True):
            draw_weight_map(axis, values, {"green": goal, "black": bonus}, f"{arm}\n{name}")
            axis.plot(0.125, 0.125, "k+", ms=9)
    figure.suptitle(
        "Learned weights, mean over seeds (green: goal, black: bonus box, +: start)", fontsize=10
    )
    figure.tight_layout(rect=(0, 0, 1, 0.97))
