"""Screens with the boxes that policies answered, before and after training."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.gui import ScreenConfig, layout_params, sample_layout
from jaxrl_envs.gui.actions import decode_box
from jaxrl_envs.gui.render import render

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
    ranges = np.array([config.widths, config.heights], np.float32)
    keys = jax.random.split(jax.random.key(7), 4 * count)
    sample = jax.jit(jax.vmap(lambda key: sample_layout(key, screen, layout_params())))
    layouts = jax.device_get(sample(keys))
    size = layouts.box[..., 2:] - layouts.box[..., :2]
    margin = max(config.near_miss_bias, config.some_hits_bias) * size
    fits = np.all((size >= ranges[:, 0]) & (size <= ranges[:, 1]), axis=-1)
    room = (layouts.box[..., :2] >= margin) & (layouts.box[..., 2:] <= config.screen - margin)
    fits = fits & np.all(room, axis=-1) & layouts.leaf
    chosen = np.argsort(~fits.any(axis=1), kind="stable")[:count]
    slots = fits[chosen].argmax(axis=1)
    picked = jax.tree.map(lambda leaf: leaf[chosen], layouts)
    targets = picked.box[np.arange(count), slots]

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
