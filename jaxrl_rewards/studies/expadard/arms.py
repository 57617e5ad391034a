"""The rewards that the study of adaptive design compares."""

from __future__ import annotations

import numpy as np

from jaxrl_rewards.reward_design import explicable
from jaxrl_rewards.studies.expadard.claim import ADAPTIVE, NEIGHBOURS, ONE_SHOT, SPARSE

FIXED = ("R̄", "any feasible", SPARSE, ONE_SHOT)
ARMS = (*FIXED, ADAPTIVE)
WORLDS = {"": "action", NEIGHBOURS: "neighbour"}
"""What an arm's name gains, and what the noise of the rooms does."""


def fixed_rewards(teacher: explicable.AdaptiveTeacher) -> dict[str, np.ndarray]:
    """The rewards of all arms but the adaptive one."""
    model = teacher.model
    uniform = np.full((1, model.num_states, model.num_actions), 1.0 / model.num_actions)
    sparse = explicable.select_states(teacher.problem, model.reward_states, 5, tie_break="largest")
    rewards = (
        model.reward,
        teacher.any_design().reward,
        sparse[-1].reward,
        teacher.design(uniform)[0].reward,
    )
    return dict(zip(FIXED, rewards, strict=True))
