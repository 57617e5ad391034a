"""Screens with the boxes that policies answered, before and after training."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxrl_envs.gui import ScreenConfig
from jaxrl_envs.gui.render import render
from jaxrl_envs.gui.targets import BoxTask, elements_in_range

from jaxrl_rewards.learners.box_arms import most_likely_boxes
from jaxrl_rewards.studies.shared.panels import boxes_on_images

SHOWN = ("gaussian", "point hit", "distance")
COLOURS = ("#00a000", "#c000c0", "#0060ff")


def screen_answers(
    params: Any, reference: Any, task: BoxTask, arms: tuple[str, ...], count: int = 8
) -> dict[str, Any]:
    """Greedy answers of the first seed to elements of generated screens.

    Per screen the first element whose size lies in the task's range, with room for the
    displacement. `answers[arm]` is float `[count, 4]`; "start" is the supervised policy.
    """
    screen = ScreenConfig(task.screen, task.screen)
    picked, targets = elements_in_range(
        jax.random.key(7), screen, (task.widths, task.heights), task.margin, count
    )

    def answer(policy):
        return np.asarray(most_likely_boxes(policy, targets, task))

    answers = {"start": answer(jax.tree.map(lambda leaf: leaf[0], reference))}
    for arm in SHOWN:
        index = arms.index(arm)
        answers[arm] = answer(jax.tree.map(lambda leaf, i=index: leaf[0, i], params))
    images = np.asarray(jax.jit(jax.vmap(lambda layout: render(layout, screen)))(picked))
    return {"images": images, "targets": np.asarray(targets), "answers": answers}


def draw_screens(figure: Any, shown: dict) -> None:
    """One panel per screen: the target in white on black, answers in colour."""
    styles = {"start": ("#ff2020", ":")}
    styles |= {arm: (colour, "-") for arm, colour in zip(SHOWN, COLOURS, strict=True)}
    boxes_on_images(figure, shown["images"], shown["targets"], shown["answers"], styles)
    figure.suptitle("near misses only: answers before and after training", fontsize=10)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
