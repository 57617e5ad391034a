"""The kinematic step by itself: exactness checks, and its row of the table."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.retarget.planar_body import BODIES, FEET, PlanarBody, foot_heights, keypoints
from jaxrl_envs.retarget.planar_clips import (
    PlanarClips,
    clip_times,
    retarget_coordinates,
    unpack,
)
from jaxrl_envs.retarget.planar_env import CONTACT_HEIGHT
from jaxrl_envs.retarget.planar_motion import HISTORY, RATE, MotionStyle, human_coordinates

from jaxrl_rewards.rewards.imitation import retarget_reward


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
            "reference on itself": 1.0 - _own_reward(body, q),
        }

    found = [jax.device_get(gaps(body, styles)) for body in BODIES.values()]
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


def _own_reward(body: PlanarBody, q: jax.Array) -> jax.Array:
    """The imitation reward of a character that is where its reference is."""
    points = keypoints(body, q)
    still = jnp.zeros_like(points)

    def one(q, points, still):
        parts = retarget_reward(
            q=q[3:],
            q_ref=q[3:],
            qd=q[3:],
            qd_ref=q[3:],
            mapped_mask=jnp.ones_like(q[3:]),
            keypoints=points,
            keypoints_ref=points,
            keypoints_vel=still,
            keypoints_vel_ref=still,
            root_height=q[1],
            root_height_ref=q[1],
            root_angle_error=jnp.zeros(()),
            contact=jnp.ones((2,)),
            contact_ref=jnp.ones((2,)),
            action=q[3:],
            prev_action=q[3:],
        )
        return parts["imitation"]

    return jax.vmap(jax.vmap(one))(q, points, still)
