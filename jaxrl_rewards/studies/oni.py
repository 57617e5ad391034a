"""Rewards from annotated messages (ONI): a sparse task in a text world, solved by asking online.

Source: Zheng et al., "Online Intrinsic Rewards for Decision Making Agents from Large Language
Model Feedback", 2024, arXiv 2410.23022. Four rooms with keys and doors, reward only at the stairs;
a scripted annotator labels four texts per update, which arrive two updates later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.oni_arms import ARMS, OniConfig
from jaxrl_rewards.studies.oni_claim import claim
from jaxrl_rewards.studies.oni_training import SOLVED, Trainer


def run(config: OniConfig, report: Callable[[str, float], None]) -> StudyResult:
    """Train all arms."""
    trainers: dict[tuple, Trainer] = {}
    arms: dict[str, dict[str, list[float]]] = {}
    panels: dict[str, dict[str, Any]] = {}
    total = sum(config.updates(ARMS[name]) for name in config.arms)
    done = 0
    for name in config.arms:
        arm = ARMS[name]
        report(name, done / total)
        what = (arm.rooms, arm.numbered, arm.policy)
        if what not in trainers:
            trainers[what] = Trainer(config, *what)
        curves = trainers[what].run(arm)
        arms[name] = {
            "success": curves.final.tolist(),
            "solved at update": curves.first_solved.tolist(),
            "gold share of steps": curves.gold[:, -1].tolist(),
            "labelled share of messages": curves.labelled[:, -1].tolist(),
        }
        panels[name] = {"success": curves.success, "gold": curves.gold}
        done += config.updates(arm)
    steps = config.num_envs * config.unroll_length
    budget = {
        "steps per update": steps,
        "questions per update": config.texts_per_update,
        "updates": {name: config.updates(ARMS[name]) for name in config.arms},
        "traces of the update per program": {
            f"{rooms} rooms{', numbered' if numbered else ''}, {policy}": trainer.traces
            for (rooms, numbered, policy), trainer in trainers.items()
        },
    }
    return StudyResult(arms=arms, curves=_panels(panels), budget=budget)


PANELS = {
    "success: both parts are needed": (
        "ONI",
        "extrinsic only",
        "reward-free (c_e = 0)",
        "labels without count",
        "count without labels",
        "five rooms, ONI",
    ),
    "success: imperfect annotators": (
        "ONI",
        "noise 10 %",
        "noise 20 %",
        "garbage 20 %",
        "latency x 10",
        "annotator dies after 12",
        "annotator dies after 4",
    ),
    "success: reward models and policies": (
        "classification",
        "ranking",
        "numbered, retrieval",
        "numbered, classification",
        "numbered, by template",
        "neural policy",
        "neural policy, extrinsic only",
    ),
}


def _panels(panels: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Curves by panel; shorter arms end with NaN."""
    curves: dict[str, dict[str, Any]] = {}
    for title, names in PANELS.items():
        present = [name for name in names if name in panels]
        if not present:
            continue
        longest = max(panels[name]["success"].shape[1] for name in present)
        panel: dict[str, Any] = {"xlabel": "update", "x": np.arange(1, longest + 1)}
        for name in present:
            values = panels[name]["success"]
            gap = longest - values.shape[1]
            panel[name] = np.pad(values, ((0, 0), (0, gap)), constant_values=np.nan)
        curves[title] = panel
    return curves


STUDY = Study(
    slug="oni",
    title="Rewards from messages that are annotated while learning",
    paper="Zheng et al., 2024, arXiv 2410.23022.",
    claims=(
        "A sparse task is solved only with annotations: success of at least 0.9 on 7 of 8 seeds "
        "after 60 updates, against at most 0.05 on extrinsic reward alone.",
        "Labels without the episodic count, and the count without labels, stay at or below 0.1.",
        "10 % wrong labels, 20 % unreadable answers and 10 times the latency: still 7 of 8 seeds.",
        "With numbers in the texts a trained classifier solves it on 7 of 8 seeds, retrieval of "
        "labels on at most 4.",
    ),
    config=OniConfig(),
    run=run,
    claim=claim,
    functions=(
        "jaxrl_rewards.reward_models.messages.retrieval_reward",
        "jaxrl_rewards.reward_models.messages.classification_reward",
        "jaxrl_rewards.reward_models.messages.ranking_reward",
        "jaxrl_rewards.reward_models.messages.ranking_loss",
        "jaxrl_rewards.reward_models.messages.update_score_moments",
        "jaxrl_rewards.reward_models.messages.group_messages",
        "jaxrl_rewards.reward_models.messages.parse_classification_label",
        "jaxrl_rewards.reward_models.messages.parse_ranking_label",
        "jaxrl_rewards.train.annotation.AnnotationService",
    ),
    worlds=("keydoor_text",),
)

__all__ = ["SOLVED", "STUDY", "OniConfig", "claim", "run"]
