"""How well answers point, as benchmarks of GUI grounding count it."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_envs.gui.layout import CHECKBOX, ICON, IMAGE, SLIDER
from jaxrl_rewards.rewards import spatial

SIZES = ("small", "medium", "large")
SIZE_LIMITS = (0.01, 0.03)
"""Share of the screen's area up to which an element is small, and medium."""


def is_icon_kind(kind: Int[Array, "..."]) -> Bool[Array, "..."]:
    """Whether an element is known by its looks (icon) and not by its text."""
    return (kind == ICON) | (kind == IMAGE) | (kind == CHECKBOX) | (kind == SLIDER)


def size_class(box: Float[Array, "... 4"], width: float, height: float) -> Int[Array, "..."]:
    """0 small, 1 medium, 2 large, by share of the screen."""
    share = jnp.prod(spatial.box_size(box), axis=-1) / np.float32(width * height)
    return jnp.sum(share[..., None] > np.asarray(SIZE_LIMITS, np.float32), -1, dtype=jnp.int32)


def answer_metrics(
    pred: Float[Array, "... 4"], target: Float[Array, "... 4"]
) -> dict[str, Float[Array, "..."]]:
    """Per answer: `hit` (centre in the target, borders included), `distance` of the centres
    (pixels), `iou_hit` (IoU > 0.5) and `log_area` (log(1 + area) of the predicted box)."""
    area = jnp.prod(jnp.maximum(spatial.box_size(pred), 0.0), axis=-1)
    return {
        "hit": spatial.point_binary_reward(pred, target),
        "distance": spatial.centre_distance(pred, target),
        "iou_hit": spatial.iou_binary_reward(pred, target),
        "log_area": jnp.log1p(area),
    }


def grounding_metrics(
    pred: Float[Array, "N 4"],
    target: Float[Array, "N 4"],
    is_icon: Bool[Array, "N"],
    *,
    width: float,
    height: float,
) -> dict[str, Float[Array, ""]]:
    """Means over answers, and accuracy by type and by size (NaN where there is none of it).

    Keys: accuracy, accuracy_text, accuracy_icon, accuracy_small, accuracy_medium, accuracy_large,
    distance, iou_rate, log_area.
    """
    values = answer_metrics(pred, target)
    sizes = size_class(target, width, height)
    groups = {"text": ~is_icon, "icon": is_icon}
    groups |= {name: sizes == index for index, name in enumerate(SIZES)}
    result = {"accuracy": jnp.mean(values["hit"])}
    for name, group in groups.items():
        count = jnp.sum(group)
        mean = jnp.sum(jnp.where(group, values["hit"], 0.0)) / jnp.maximum(count, 1)
        result[f"accuracy_{name}"] = jnp.where(count > 0, mean, jnp.nan)
    return result | {
        "distance": jnp.mean(values["distance"]),
        "iou_rate": jnp.mean(values["iou_hit"]),
        "log_area": jnp.mean(values["log_area"]),
    }


def group_spread(reward: Float[Array, "P N"], tolerance: float = 0.0) -> Float[Array, ""]:
    """Share of groups of answers whose rewards differ: those that a group advantage learns from."""
    return jnp.mean(jnp.max(reward, axis=1) - jnp.min(reward, axis=1) > tolerance)
