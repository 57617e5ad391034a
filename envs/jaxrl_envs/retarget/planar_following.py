"""How well a policy follows clips: the measures of the planar world's studies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxrl_envs.retarget.planar_body import LEGS
from jaxrl_envs.retarget.planar_clips import PlanarClips
from jaxrl_envs.retarget.planar_env import PlanarParams, PlanarRetarget
from jaxrl_envs.retarget.planar_motion import HISTORY, RATE

LEG_JOINTS = slice(LEGS.start - 3, LEGS.stop - 3)


def follow_clips(
    env: PlanarRetarget,
    act: Callable[[Any], Array],
    params: PlanarParams,
    clips: PlanarClips,
    steps: int,
) -> dict[str, Array]:
    """Follow every clip from its beginning for `steps` steps; `act(obs)` gives the action.

    Returns `q` float32 `[clips, steps, 11]`, the character's coordinates (beyond the end of an
    episode it goes on as it can), `survived` bool `[clips]`, and one number each: `survive` (share
    of clips followed to the end), `seconds` (mean time to the end), and, over the steps before it,
    `keypoint_error` (mean distance over the scale, metres), `leg_error` (mean absolute angle,
    radians), `contact_match` (share of feet and steps), `action_change` (mean absolute second
    difference of the servos' targets, rad/s²) and `foot_skate` (mean speed of touching feet, m/s).
    """
    count = clips.table.shape[0]
    params = params.replace(clips=clips, max_steps=jnp.asarray(steps, jnp.int32))

    begin = jax.vmap(lambda clip: env.start_at(clip, jnp.int32(HISTORY), params))
    world, timestep = begin(jnp.arange(count))
    zero = jnp.zeros((count,), jnp.float32)
    names = ("steps", "keypoint", "leg", "match", "change", "change_steps", "skate", "touch")
    sums = {name: zero for name in names}

    def step(carry, time):
        world, obs, alive, before, sums = carry
        action = jax.vmap(act)(obs)
        last = world.action
        keys = jnp.zeros((count,), jnp.uint32)
        world, seen = jax.vmap(env.step, (0, 0, 0, None))(keys, world, action, params)
        alive = alive & ~seen.terminated
        info = seen.info
        second = jnp.abs(world.action - 2.0 * last + before).mean(axis=-1)
        touching = info["contact"]
        gained = {
            "steps": 1.0,
            "keypoint": info["keypoint_error"].mean(axis=-1),
            "leg": info["joint_error"][:, LEG_JOINTS].mean(axis=-1),
            "match": (touching == info["contact_ref"]).mean(axis=-1),
            "change": jnp.where(time >= 2, second, 0.0),
            "change_steps": jnp.where(time >= 2, 1.0, 0.0),
            "skate": (touching * info["foot_speed"]).sum(axis=-1),
            "touch": touching.sum(axis=-1),
        }
        sums = {
            name: sums[name] + jnp.where(alive, gain_now, 0.0) for name, gain_now in gained.items()
        }
        return (world, seen.obs, alive, last, sums), world.physics.qpos

    alive = jnp.ones((count,), bool)
    carry = (world, timestep.obs, alive, world.action, sums)
    (_, _, alive, _, sums), q = jax.lax.scan(step, carry, jnp.arange(steps))
    total = {name: value.sum() for name, value in sums.items()}
    taken = jnp.maximum(total["steps"], 1.0)
    change = total["change"] / jnp.maximum(total["change_steps"], 1.0)
    return {
        "q": jnp.moveaxis(q, 0, 1),
        "survived": alive,
        "survive": alive.mean(),
        "seconds": (sums["steps"] / RATE).mean(),
        "keypoint_error": total["keypoint"] / taken,
        "leg_error": total["leg"] / taken,
        "contact_match": total["match"] / taken,
        "action_change": change * params.action_scale * RATE**2,
        "foot_skate": total["skate"] / jnp.maximum(total["touch"], 1.0),
    }


def followed_speeds(speeds: np.ndarray, followed: np.ndarray) -> dict[str, float]:
    """Which motions are followed to their end, and how fast the user walks in them.

    From the users' `speeds` `[clips]` and `followed` bool `[clips]`: how many are followed, the
    highest speed among them in m/s (0 without any), and how many of all motions are no faster.
    """
    fastest = float(speeds[followed].max(initial=0.0))
    return {
        "motions": int(followed.sum()),
        "fastest, m/s": fastest,
        "of all, no faster": int((speeds <= fastest).sum()) if followed.any() else 0,
    }
