"""The kinematic step by itself: exactness checks, and its row of the table."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_envs.retarget.planar_body import BODIES, FEET, PlanarBody, foot_heights, keypoints
from jaxrl_envs.retarget.planar_clips import (
    PlanarClips,
    clip_times,
    reference_frame,
    retarget_coordinates,
    unpack,
)
from jaxrl_envs.retarget.planar_env import CONTACT_HEIGHT, PlanarRetarget
from jaxrl_envs.retarget.planar_motion import HISTORY, RATE, MotionStyle, human_coordinates
from jaxrl_rewards.rewards.imitation import retarget_reward

APART = 10
"""Frames between those put into the world."""


def kinematic_checks(styles: MotionStyle, seconds: float) -> dict[str, float]:
    """Largest deviation of each exact property over all characters, clips and frames.

    Lengths in metres over the scale, angles in radians, rewards as they are.
    """
    times = clip_times(seconds)[HISTORY:]

    @functools.partial(jax.jit, static_argnums=0)
    def gaps(body: PlanarBody, styles: MotionStyle) -> dict[str, jax.Array]:
        human = BODIES["human"]
        scale = body.leg / human.leg
        rest = retarget_coordinates(body, jnp.asarray(human.rest_coordinates()))
        user = jax.vmap(lambda style: jax.vmap(lambda now: human_coordinates(style, now))(times))(
            styles
        )
        q = jax.vmap(jax.vmap(lambda one: retarget_coordinates(body, one)))(user)
        lowest = foot_heights(body, keypoints(body, q)).min(axis=-1)
        return {
            "rest pose to rest pose": rest - body.rest_coordinates(),
            "feet relative to root": _feet_from_root(body, q) / scale
            - _feet_from_root(human, user),
            "lowest foot on the ground": lowest / scale,
        }

    def all_gaps(body: PlanarBody) -> dict[str, np.ndarray]:
        own = 1.0 - _own_reward(body, styles, clip_times(seconds))
        return jax.device_get({**gaps(body, styles), "reference on itself": own})

    found = [all_gaps(body) for body in BODIES.values()]
    return {name: max(float(np.abs(one[name]).max()) for one in found) for name in found[0]}


def kinematic_row(body: PlanarBody, clips: PlanarClips) -> dict[str, list[float]]:
    """What the metrics of an evaluation are for the reference itself, with servos set to it.

    Its tracking errors are 0 by construction. One entry per metric, not per seed.
    """
    frame = unpack(clips.table[:, HISTORY:])
    touching = foot_heights(body, frame.points) < CONTACT_HEIGHT
    speed = jnp.abs(frame.velocities[..., FEET, 0])
    change = jnp.abs(jnp.diff(frame.q[..., 3:], n=2, axis=1)) * RATE**2
    row = {
        "keypoint_error": jnp.zeros(()),
        "leg_error": jnp.zeros(()),
        "contact_match": jnp.mean(touching == (frame.contact > 0)),
        "action_change": jnp.mean(change),
        "foot_skate": jnp.sum(touching * speed) / jnp.maximum(jnp.sum(touching), 1),
    }
    return {name: [float(np.asarray(value))] for name, value in row.items()}


def _feet_from_root(body: PlanarBody, q: jax.Array) -> jax.Array:
    return keypoints(body, q)[..., FEET, :] - q[..., None, :2]


def _own_reward(body: PlanarBody, styles: MotionStyle, times: jax.Array) -> jax.Array:
    """The imitation reward that the world gives a character put on its reference; `[clips, times]`,
    of every `APART`th frame."""
    rows = jax.vmap(lambda style: jax.vmap(lambda now: reference_frame(body, style, now))(times))
    clips = PlanarClips(table=jax.jit(rows)(styles))
    env = PlanarRetarget(body)
    params = env.params_with(clips)

    def one(clip, frame):
        seen = env.start_at(clip, frame, params)[0].tracking
        fields = {field.name: getattr(seen, field.name) for field in dataclasses.fields(seen)}
        return retarget_reward(**fields)["imitation"]

    count, frames = clips.table.shape[:2]
    every = jax.vmap(jax.vmap(one, (None, 0)), (0, None))
    return jax.jit(every)(jnp.arange(count), jnp.arange(HISTORY, frames, APART))
