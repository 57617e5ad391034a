"""What the study of the learners' mathematics claims, and how it is judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_rewards.studies.api import StudyResult, Verdict, difference_interval
from jaxrl_rewards.studies.shared.claims import Claims

CLAIMS = (
    "PPO solves CartPole, Acrobot and Pendulum on at least 4 of 5 seeds.",
    "Bootstrapping at a time limit gives the right value; treating it as an end does not.",
    "GRPO, Dr.GRPO, RLOO and REINFORCE++ advantages agree up to a factor, and learn alike.",
)
SOLVED = {"CartPole": 450.0, "Acrobot": -100.0, "Pendulum": -250.0}
"""Return from which a seed counts as solved."""
GROUP_METHODS = ("grpo", "dr_grpo", "rloo", "reinforce_plus_plus")
AS_ENDS = 1.0 / (1.0 - 0.95 * (1.0 - 1.0 / 20.0))
"""Value with discount .95 where every 20th step is taken for an end; 20 where it is not."""


def claim(result: StudyResult, config: Any) -> Verdict:
    """Judge the measured numbers."""
    claims = Claims(result)
    for name, bound in SOLVED.items():
        solved = claims.values(f"PPO {name}", "solved") > 0
        claims.share(f"{name}: fraction of seeds at {bound:g} or more", solved, least=0.8)
    right, wrong = (claims.values(f"TD(0), {x}", "value") for x in ("bootstrap", "limits as ends"))
    claims.near("value, bootstrapping at the time limit", right, 20.0, within=0.1)
    claims.near("value, time limits treated as ends", wrong, AS_ENDS, within=0.1)
    reference = claims.values("bandit grpo", "regret")
    for method in GROUP_METHODS:
        regret = claims.values(f"bandit {method}", "regret")
        claims.level(f"bandit regret, {method}", regret, most=0.05)
        if method != "grpo":
            claims.equal(f"bandit regret, {method} minus grpo", regret, reference, within=0.02)
    worst = float(np.max([values for values in result.arms["identities"].values()]))
    claims.fact("largest error of an identity", worst, most=1e-5)
    low, high = difference_interval(
        claims.values("PPO CartPole", "return"),
        claims.values("PPO CartPole, limits as ends", "return"),
    )
    claims.note(
        "CartPole return, bootstrapping minus time limits treated as ends: "
        f"[{low:.1f}, {high:.1f}] (reported, not claimed)"
    )
    return claims.verdict(config.seeds)
