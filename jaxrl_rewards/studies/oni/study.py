"""Twenty arms in the key-door world: what annotations, counts and reward models do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.oni.arms import ARMS, PANELS, OniConfig
from jaxrl_rewards.studies.oni.claim import CLAIMS, claim
from jaxrl_rewards.studies.oni.training import World, make_world, train_arm
from jaxrl_rewards.studies.shared.arms import first_at, per_seed
from jaxrl_rewards.studies.shared.panels import unequal_panels

SOLVED = 0.8
"""Success from which a seed counts as having solved the task in the curves."""


def run(config: OniConfig, report: Callable[[str, float], None]) -> StudyResult:
    """Train all arms."""
    worlds: dict[tuple, World] = {}
    table: dict[str, dict[str, list[float]]] = {}
    success: dict[str, np.ndarray] = {}
    updates = {name: config.updates(ARMS[name]) for name in config.arms}
    for index, name in enumerate(config.arms):
        arm = ARMS[name]
        report(name, sum(list(updates.values())[:index]) / sum(updates.values()))
        what = (arm.rooms, arm.numbered, arm.policy)
        if what not in worlds:
            worlds[what] = make_world(config, *what)
        curves = train_arm(worlds[what], arm)
        success[name], x = curves["success"], np.arange(1, updates[name] + 1)
        table[name] = per_seed(
            {
                "success": success[name][:, -1],
                "solved at update": first_at(success[name], x, SOLVED),
                "gold share of steps": curves["gold"][:, -1],
                "labelled share of messages": curves["labelled"][:, -1],
            }
        )
    budget = {
        "steps per update": config.num_envs * config.unroll_length,
        "questions per update": config.texts_per_update,
        "updates": updates,
    }
    return StudyResult(arms=table, curves=unequal_panels(PANELS, success, "update"), budget=budget)


STUDY = Study(
    slug="oni",
    title="Rewards from messages that are annotated while learning",
    paper="Zheng et al., 2024, arXiv 2410.23022.",
    claims=CLAIMS,
    config=OniConfig(),
    run=run,
    claim=claim,
    functions=(
        *(
            f"jaxrl_rewards.reward_models.messages.{name}"
            for name in (
                *("retrieval_reward", "classification_reward", "ranking_reward", "ranking_loss"),
                *("update_score_moments", "group_messages"),
                *("parse_classification_label", "parse_ranking_label"),
            )
        ),
        "jaxrl_rewards.train.annotation.AnnotationService",
        "jaxrl_rewards.learners.messages.make_message_ppo",
    ),
    worlds=("keydoor_text",),
    quick={"seeds": 2, "arms": ("ONI", "extrinsic only"), "num_envs": 32},
)
