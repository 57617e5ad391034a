"""Names and conventions of the vectors for pointing at boxes."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from jaxrl_rewards.credit import group_advantages
from jaxrl_rewards.rewards import spatial
from tests.reference.vectors import number_array


def _boxes(x: dict[str, Any]):
    return tuple(jnp.asarray(number_array(x[k]), jnp.float32) for k in ("pred_box", "gt_box"))


def _rewards(value) -> dict[str, float]:
    """As it is, and rounded to three decimals as in the published code."""
    return {"reward": float(value), "reward_official_rounded3": round(float(value), 3)}


def _point(x):
    return _rewards(spatial.gaussian_point_reward(*_boxes(x), x["alpha"], strict=False))


def _coverage(x):
    return _rewards(
        spatial.gaussian_coverage_reward(*_boxes(x), x["alpha"], x["eps"], strict=False)
    )


def _coverage_safe(x):
    return _rewards(spatial.gaussian_coverage_reward_safe(*_boxes(x), x["alpha"]))


def _combined(x):
    """Of given parts, or of two boxes."""
    if "point" in x:
        parts = (jnp.float32(x["point"]), jnp.float32(x["coverage"]))
    else:
        alpha, eps = x.get("alpha", 0.5), x.get("eps", 1e-8)
        parts = (
            spatial.gaussian_point_reward(*_boxes(x), alpha, strict=False),
            spatial.gaussian_coverage_reward(*_boxes(x), alpha, eps, strict=False),
        )
    return _rewards(spatial.combined_reward(*parts, x.get("nu", 1.0), x.get("gamma", 1.0)))


def _baselines(x):
    pred, gt = _boxes(x)
    return {
        "point_binary": spatial.point_binary_reward(pred, gt),
        "iou": spatial.iou(pred, gt),
        "iou_binary_0.5": spatial.iou_binary_reward(pred, gt, 0.5),
    }


def _score_completion(x):
    from jaxrl_rewards.rewards import text

    return text.score_completion(x["completion"], x["gt_box"], strict=False, round_decimals=3)


def _grpo_advantage(x):
    rewards = jnp.asarray(number_array(x["rewards"]), jnp.float32)
    return {"advantage": group_advantages(rewards, mode="grpo", epsilon=x["eps"])}


ADAPTERS = {
    "baseline_rewards": _baselines,
    "combined_reward": _combined,
    "gaussian_coverage_reward": _coverage,
    "gaussian_coverage_reward_safe": _coverage_safe,
    "gaussian_point_reward": _point,
    "grpo_advantage": _grpo_advantage,
    "score_completion": _score_completion,
}
