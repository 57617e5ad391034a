"""Pictures of a finished search."""

from __future__ import annotations

from typing import Any

from jaxrl_rewards.reward_design.eureka.lockstep import Found
from jaxrl_rewards.studies.shared.panels import bars


def draw_population(figure: Any, searched: dict[str, Found], table: dict[str, Any]) -> None:
    """Final success of every arm with its interval and seeds; optimism of every search."""
    figure.set_size_inches(11.0, 4.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1.0))
    rows = {n.split(": ")[1]: row for n, row in table.items() if n.startswith("keydoor: ")}
    bars(left, {name: row["success"] for name, row in rows.items()})
    left.set_xlim(-0.02, 1.05)
    left.set_xlabel("success, trained anew (mean, 95 %, search seeds)")
    for name, result in searched.items():
        right.plot(result.in_search, result.retrained.mean(axis=1), "o", label=name, alpha=0.7)
    right.plot([0, 1], [0, 1], color="black", lw=0.8)
    right.set_xlabel("winner's fitness in the search")
    right.set_ylabel("success, trained anew")
    right.legend(fontsize=7)
    right.grid(alpha=0.3)
    figure.tight_layout()


def draw_programs(figure: Any, result: Found) -> None:
    """The winner of every search as text, with its success."""
    lines = []
    for seed, (winner, value) in enumerate(
        zip(result.winners, result.retrained.mean(axis=1), strict=True)
    ):
        lines.append(f"search {seed}, success {value:.2f}")
        lines += [f"    {line}" for line in winner.proposal.text.split("\n")]
    figure.set_size_inches(8.0, 0.4 + 0.14 * len(lines))
    axis = figure.subplots()
    axis.axis("off")
    axis.text(0.0, 1.0, "\n".join(lines), family="monospace", fontsize=7, va="top")
    figure.tight_layout()
