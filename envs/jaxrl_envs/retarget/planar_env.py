"""Follow a user's head and hands with a simulated planar character."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_envs.physics import PhysicsState, make_physics
from jaxrl_envs.retarget.contact import early_termination
from jaxrl_envs.retarget.planar_body import (
    BODIES,
    COORDINATES,
    JOINTS,
    KEYPOINTS,
    REST_JOINTS,
    PlanarBody,
    build_spec,
    foot_heights,
    keypoints,
)
from jaxrl_envs.retarget.planar_clips import PlanarClips, PlanarFrame, make_clips
from jaxrl_envs.retarget.planar_motion import HISTORY, RATE
from jaxrl_rewards.core import Box, DictSpace, EnvSpec, InputError, TimeStep, first_timestep, record
from jaxrl_rewards.rewards.base import Reward
from jaxrl_rewards.rewards.imitation_terms import Tracking, retarget_terms

SUBSTEPS = 2
SENSOR_FRAMES = (0, 3, 6)
"""How many frames ago the sensors are read: now, 0.1 s and 0.2 s."""
CONTACT_HEIGHT = 0.01
"""A foot below this height, metres, touches the ground."""
ACTION_LIMIT = 5.0
_ACTOR_WIDTH = 2 + len(JOINTS) + COORDINATES + 2 * len(KEYPOINTS) + 2 + len(JOINTS)
_SENSOR_WIDTH = 3 * len(SENSOR_FRAMES) * 6
_PRIVILEGED_WIDTH = 2 + len(JOINTS) + COORDINATES + 4 * len(KEYPOINTS) + 2


@record
class PlanarParams:
    """Numbers of the task; lengths are metres."""

    clips: PlanarClips
    """Reference clips; episodes start at random moments of random clips."""
    sensor_gain: Float[Array, ""]
    """Factor on what the actor sees of the user: 1, or 0 for a blind actor."""
    privileged_gain: Float[Array, ""]
    """Factor on what only the critic sees: 1, or 0 for a critic that sees what the actor sees."""
    action_scale: Float[Array, ""]
    """Radians of the servos' targets per unit of action."""
    distance_threshold: Float[Array, ""]
    """Episodes end when a keypoint is farther from its reference than this times the scale, ..."""
    height_fraction: Float[Array, ""]
    """... or the root lower than this share of its rest height."""
    max_steps: Int[Array, ""]
    reward: Reward


@record
class PlanarState:
    """The physics, where in which clip the episode is, and what the reward reads."""

    physics: PhysicsState
    clip: Int[Array, ""]
    start: Int[Array, ""]
    """Frame of the clip at which the episode began."""
    time: Int[Array, ""]
    """Control steps taken."""
    action: Float[Array, "8"]
    """The last action, limited and finite."""
    tracking: Tracking
    """The character beside its reference."""


class PlanarRetarget:
    """One policy per character follows unseen users from three sensed points.

    - Observation: `actor` float32 `[95]`: root height and pitch, joint angles, coordinates'
      velocities, keypoints from the root's place on the ground, foot contacts, last action; then
      three times (now, 0.1 s and 0.2 s ago) position, (cos, sin) of the angle and velocity of
      headset and controllers, scaled to the character. `privileged` `[43]`, for the critic:
      reference height, pitch, joint angles, velocities, keypoints, keypoint errors, contacts.
    - Action: float32 `[8]` in ±5, clipped, non-finite entries count as 0: servo targets
      `rest + action_scale · a`, held for 1/30 s (two steps of physics).
    - Reward: the eight terms of `retarget_terms`, lengths and speeds divided by the scale; 0 for
      a step whose physics diverged.
    - Termination: a keypoint too far from its reference, a root too low, or diverged physics.
      Truncation: 150 steps.
    - Reset: the reference's state at a random moment of a random clip that leaves room for
      `max_steps`.
    - `info`: keypoint errors over the scale, absolute joint errors, contacts and their labels,
      feet's speeds, for the metrics of a study.
    - Source: Reda et al. 2023, arXiv 2307.01938, in the vertical plane.
    """

    def __init__(
        self,
        body: str | PlanarBody = "human",
        *,
        clips: int = 64,
        seed: int = 0,
        max_steps: int = 150,
        engine: str = "auto",
        threads: int | None = None,
    ):
        if isinstance(body, str) and body not in BODIES:
            raise InputError(f"planar body {body!r} is unknown; choose one of {', '.join(BODIES)}")
        if clips < 1 or max_steps < 1:
            raise InputError(f"clips={clips} and max_steps={max_steps} must be at least 1")
        self.body = BODIES[body] if isinstance(body, str) else body
        self.scale = self.body.leg / BODIES["human"].leg
        self._clips, self._seed, self._max_steps = clips, seed, max_steps
        self.physics = make_physics(
            build_spec(self.body).compile(),
            engine=engine,
            substeps=SUBSTEPS,
            outputs=(),
            threads=threads,
        )
        infinite = float("inf")
        self.spec = EnvSpec(
            name=f"planar-retarget-{self.body.name}",
            observation_space=DictSpace.of(
                actor=Box(-infinite, infinite, (_ACTOR_WIDTH + _SENSOR_WIDTH,)),
                privileged=Box(-infinite, infinite, (_PRIVILEGED_WIDTH,)),
            ),
            action_space=Box(-ACTION_LIMIT, ACTION_LIMIT, (len(JOINTS),)),
            max_steps=max_steps,
            term_names=retarget_terms().names,
        )

    def default_params(self) -> PlanarParams:
        """The published weights and thresholds, and clips from the constructor's seed."""
        key, seconds = jax.random.key(self._seed), self._max_steps / RATE
        make = jax.jit(lambda k: make_clips(k, self.body, clips=self._clips, seconds=seconds)[0])
        return self.params_with(make(key))

    def params_with(self, clips: PlanarClips) -> PlanarParams:
        """The published weights and thresholds, with given clips for this character."""
        number = lambda value: jnp.asarray(value, jnp.float32)  # noqa: E731
        return PlanarParams(
            clips=clips,
            sensor_gain=number(1.0),
            privileged_gain=number(1.0),
            action_scale=number(0.6),
            distance_threshold=number(0.4),
            height_fraction=number(0.4),
            max_steps=jnp.asarray(self._max_steps, jnp.int32),
            reward=retarget_terms(),
        )

    def reset(self, key: jax.Array, params: PlanarParams) -> tuple[PlanarState, TimeStep]:
        """Start on the reference, anywhere in a clip that leaves `max_steps` to go."""
        count, frames = params.clips.table.shape[:2]
        unit = jax.random.uniform(key, (2,), dtype=jnp.float32)
        clip = jnp.minimum((unit[0] * np.float32(count)).astype(jnp.int32), count - 1)
        room = jnp.maximum(frames - HISTORY - params.max_steps, 1)
        start = HISTORY + jnp.minimum(
            (unit[1] * room.astype(jnp.float32)).astype(jnp.int32), room - 1
        )
        return self.start_at(clip, start, params)

    def start_at(
        self, clip: Int[Array, ""], start: Int[Array, ""], params: PlanarParams
    ) -> tuple[PlanarState, TimeStep]:
        """Start on the reference at frame `start` of clip `clip`."""
        reference = params.clips.at(clip, start)
        physics = self.physics.reset(reference.q, reference.qd)
        action = (reference.q[3:] - np.asarray(REST_JOINTS, np.float32)) / params.action_scale
        action = jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT)
        seen = self._look(physics)
        state = PlanarState(
            physics=physics,
            clip=jnp.asarray(clip, jnp.int32),
            start=jnp.asarray(start, jnp.int32),
            time=jnp.zeros((), jnp.int32),
            action=action,
            tracking=self._tracking(physics, reference, seen, action, action),
        )
        obs = self._observe(state, reference, seen, params)
        return state, first_timestep(obs, params.reward.names, _info(state.tracking, seen))

    def step(
        self, key: jax.Array, state: PlanarState, action: Float[Array, "8"], params: PlanarParams
    ) -> tuple[PlanarState, TimeStep]:
        """Two steps of physics, and one frame of the clip."""
        del key
        action = jnp.asarray(action, jnp.float32)
        action = jnp.where(jnp.isfinite(action), action, 0.0)
        action = jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT)
        targets = np.asarray(REST_JOINTS, np.float32) + params.action_scale * action
        physics = self.physics.step(state.physics, targets)
        time = state.time + 1
        reference = params.clips.at(state.clip, state.start + time)
        seen = self._look(physics)
        nxt = state.replace(
            physics=physics,
            time=time,
            action=action,
            tracking=self._tracking(physics, reference, seen, action, state.action),
        )
        out = params.reward.evaluate(state, action, nxt)
        sound = ~physics.bad_physics
        lost = early_termination(
            seen["points"],
            reference.points,
            physics.qpos[1],
            self.body.rest_root_height,
            self.scale,
            params.distance_threshold,
            params.height_fraction,
        )
        obs = self._observe(nxt, reference, seen, params)
        return nxt, TimeStep(
            obs=obs,
            reward=jnp.where(sound, out.total, 0.0),
            terms={name: jnp.where(sound, term, 0.0) for name, term in out.terms.items()},
            applicable={name: flag & sound for name, flag in out.applicable.items()},
            terminated=lost | ~sound,
            truncated=time >= params.max_steps,
            final_obs=obs,
            info=_info(nxt.tracking, seen),
        )

    def _look(self, physics: PhysicsState) -> dict[str, Array]:
        """Keypoints, their velocities and the feet's contacts of the character."""
        points, velocities = jax.jvp(
            lambda q: keypoints(self.body, q), (physics.qpos,), (physics.qvel,)
        )
        contact = foot_heights(self.body, points) < CONTACT_HEIGHT
        return {
            "points": points,
            "velocities": velocities,
            "contact": contact.astype(jnp.float32),
        }

    def _tracking(
        self,
        physics: PhysicsState,
        reference: PlanarFrame,
        seen: dict[str, Array],
        action: Float[Array, "8"],
        prev_action: Float[Array, "8"],
    ) -> Tracking:
        scale = self.scale
        return Tracking(
            q=physics.qpos[3:],
            q_ref=reference.q[3:],
            qd=physics.qvel[3:],
            qd_ref=reference.qd[3:],
            mapped_mask=jnp.ones((len(JOINTS),), jnp.float32),
            keypoints=seen["points"] / scale,
            keypoints_ref=reference.points / scale,
            keypoints_vel=seen["velocities"] / scale,
            keypoints_vel_ref=reference.velocities / scale,
            root_height=physics.qpos[1] / scale,
            root_height_ref=reference.q[1] / scale,
            root_angle_error=physics.qpos[2] - reference.q[2],
            contact=seen["contact"],
            contact_ref=reference.contact,
            action=action,
            prev_action=prev_action,
        )

    def _observe(
        self,
        state: PlanarState,
        reference: PlanarFrame,
        seen: dict[str, Array],
        params: PlanarParams,
    ) -> dict[str, Array]:
        physics = state.physics
        ground = jnp.stack([physics.qpos[0], jnp.zeros((), jnp.float32)])
        own = (
            physics.qpos[1:],
            physics.qvel,
            (seen["points"] - ground[None]).reshape(-1),
            seen["contact"],
            state.action,
        )
        now = state.start + state.time
        sensed = []
        for ago in SENSOR_FRAMES:
            row = params.clips.sensors(state.clip, now - ago)
            position = (row[:6].reshape(3, 2) - ground[None]).reshape(-1)
            angle = row[6:9]
            sensed += [position, jnp.cos(angle), jnp.sin(angle), row[9:]]
        privileged = (
            reference.q[1:],
            reference.qd,
            (reference.points - ground[None]).reshape(-1),
            (reference.points - seen["points"]).reshape(-1),
            reference.contact,
        )
        return {
            "actor": jnp.concatenate([*own, params.sensor_gain * jnp.concatenate(sensed)]),
            "privileged": params.privileged_gain * jnp.concatenate(privileged),
        }


def _info(tracking: Tracking, seen: dict[str, Array]) -> dict[str, Any]:
    """What the metrics of a study read; arrays of fixed structure."""
    gap = tracking.keypoints - tracking.keypoints_ref
    return {
        "keypoint_error": jnp.linalg.norm(gap, axis=-1),
        "joint_error": jnp.abs(tracking.q - tracking.q_ref),
        "contact": tracking.contact,
        "contact_ref": tracking.contact_ref,
        "foot_speed": jnp.abs(seen["velocities"][3:, 0]),
    }


__all__ = ["PlanarParams", "PlanarRetarget", "PlanarState"]
