"""Screens with the boxes that policies answered, before and after training."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.gui import ScreenConfig
from jaxrl_envs.gui.actions import decode_box
from jaxrl_envs.gui.render import render
from jaxrl_envs.gui.targets import elements_in_range

from jaxrl_rewards.networks.box_tokens import features, policy_logits
from jaxrl_rewards.studies.shared.panels import boxes_on_images

SHOWN = ("gaussian", "point hit", "distance")
COLOURS = ("#00a000", "#c000c0", "#0060ff")


def screen_answers(params, reference, config, arms: tuple[str, ...], count: int = 8) -> dict:
    """Greedy answers of the first seed to elements of generated screens.

    Per screen the first element whose size lies in the study's range, with room for the
    displacement. `answers[arm]` is float `[count, 4]`; "start" is the supervised policy.
    """
    screen = ScreenConfig(config.screen, config.screen)
    margin = max(config.near_miss_bias, config.some_hits_bias)
    picked, targets = elements_in_range(
        jax.random.key(7), screen, (config.widths, config.heights), margin, count
    )

    def answer(policy):
        logits = policy_logits(policy, features(targets, float(config.screen)))
        tokens = jnp.argmax(logits, axis=-1)
        return np.asarray(decode_box(tokens, config.screen, config.screen, config.bins))

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
