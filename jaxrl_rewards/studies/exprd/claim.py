"""What the study of explicable design claims, and how it is judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_rewards.studies.api import StudyResult, Verdict
from jaxrl_rewards.studies.exprd.arms import FIVE, TASK, TIES
from jaxrl_rewards.studies.shared.claims import Claims

CLAIMS = (
    "With five designed states beside the goal, Q-learning's greedy policy holds at least .45 "
    "of the optimal value over the first 1000 episodes, at least .3 more than under R̄; the "
    "learner takes the first of several best actions (with ties at random it is the reverse).",
    "At most six states are rewarded, and the target policy stays optimal exactly.",
)


def claim(result: StudyResult, config: Any) -> Verdict:
    """Judge the measured numbers."""
    claims = Claims(result)
    facts = result.budget["exact"]
    five, task = (claims.values(arm, "mean share") for arm in (FIVE, TASK))
    claims.level("mean fraction of the optimum, B=5", five, least=0.45)
    name = "mean fraction of the optimum, B=5 minus R̄"
    claims.difference(name, five, task, least=0.3, above=0)
    states = result.budget["states with rewards"][FIVE]
    claims.fact("states with rewards, B=5", states, most=6)
    gap = facts["largest missing gap"]
    claims.fact("largest shortfall of an action gap, all designs", gap, most=1e-6)
    kept = facts["share of designs that keep optima"]
    claims.fact("fraction of designs that keep every optimal action optimal", kept, exactly=1)
    fall = [facts[name] for name in facts if name.startswith("-I of the programme, B=")]
    claims.fact(
        "smallest gain in informativeness per state added", float(-np.max(np.diff(fall))), over=0
    )
    other, bare = (claims.values(arm + TIES["random"], "mean share") for arm in (FIVE, TASK))
    reverse = "mean fraction of the optimum, ties at random, B=5 minus R̄ (not claimed)"
    found = claims.difference(reverse, other, bare)
    low, high = claims.interval[reverse]
    claims.note(
        "The learner takes the first of several best actions, so that R̄, which is 0 almost "
        "everywhere, makes it run into a wall. With ties broken at random R̄ explores by itself: "
        f"B=5 minus R̄ is then {found:.2f} [{low:.2f}, {high:.2f}]."
    )
    claims.note(
        "Dense shaping with V* is faster than any sparse design and not claimed to be otherwise."
    )
    claims.note(
        "The evaluation function, which ignores ties among optimal actions, gives "
        f"{facts['I of R̄, evaluated']:.3f} for R̄ and {facts['I of potential V*, evaluated']:.3f} "
        "for shaping with V*; the programme's own value is "
        f"{-facts['-I of the programme, B=0']:.3f} with the goal alone."
    )
    return claims.verdict(config.seeds)
