"""An avatar under physics that follows a person of whom only head and hands are sensed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_envs.physics import PhysicsState, make_physics
from jaxrl_envs.retarget.characters import Character, make_character
from jaxrl_envs.retarget.contact import early_termination
from jaxrl_envs.retarget.features import character_features, reference_features
from jaxrl_envs.retarget.measure import (
    MEMORY,
    Measured,
    SensorParams,
    corrupt,
    first_memory,
    perfect_sensors,
    remember,
    sensor_features,
)
from jaxrl_envs.retarget.motion import Motion, generate_motion
from jaxrl_envs.retarget.reference import FRAME_RATE, ReferenceLibrary, build_library
from jaxrl_rewards.core import Box, DictSpace, EnvSpec, InputError, TimeStep, record
from jaxrl_rewards.core.rotations import quat_angle_between
from jaxrl_rewards.rewards.base import Reward
from jaxrl_rewards.rewards.imitation_terms import ImitationWeights, Tracking, retarget_terms

BINS = 16
"""Parts of a clip among which episode starts are weighted."""
GRAVITY = 9.81
ACTION_LIMIT = 3.2
SPEED_LIMIT = 1e3
"""m, m/s and rad/s beyond which the physics has broken."""
SOLVER_ITERATIONS = 2
"""Of engines jax and warp: with one, a body on the reference's targets falls a third sooner than
under engine c, and some break; with two, it falls as there."""
LAG = 0.875
"""How far the reference action leads, over the servos' kd / kp."""
OUTPUTS = ("site_pos", "site_linvel", "sensordata")


@record
class RetargetParams:
    """Numbers of the task; SI units."""

    library: ReferenceLibrary
    sensors: SensorParams
    start_weights: Float[Array, "C bins"]
    """Relative frequencies of where episodes start."""
    action_scale: Float[Array, ""]
    """Radians per unit of action."""
    look_ahead: Float[Array, ""]
    """Seconds by which the reference action leads, to make up for the servo's lag."""
    termination_distance: Float[Array, ""]
    """Metres of the human's size that a keypoint may stray."""
    termination_height: Float[Array, ""]
    """Share of the root's rest height below which the character has fallen."""
    push_speed: Float[Array, ""]
    """Speed change of each push, m/s of the human's size (with `disturbed=True` only)."""
    push_every: Int[Array, ""]
    """Steps between pushes."""
    lean: Float[Array, ""]
    """Constant sideways force as a share of the weight (with `disturbed=True` only)."""
    max_steps: Int[Array, ""]
    reward: Reward


@record
class RetargetState:
    """The world between steps."""

    physics: PhysicsState
    measured: Measured
    contact: Float[Array, "feet"]
    """1 where a foot touches the ground; at the start, where the reference's does."""
    clip: Int[Array, ""]
    frame: Int[Array, ""]
    """Frame of the reference that the character should be in now."""
    start: Int[Array, ""]
    """Index into the flattened `start_weights`."""
    time: Int[Array, ""]
    """Control steps taken."""
    action: Float[Array, "J"]
    """The last action, zeros at the start."""
    prev_action: Float[Array, "J"]
    """The one before."""
    direction: Float[Array, ""]
    """Angle of pushes and lean in the ground plane, radians."""
    tracking: Tracking | None = None
    """The character beside its reference, for rewards to read. Steps fill it in and do not keep it:
    to evaluate a reward yourself, `state.replace(tracking=world.tracking(state, params))`."""


class Retarget:
    """Follow a person's headset and controllers with a physical body.

    - Observation: `actor` float32, the character itself and the three sensed points now, 0.1 s and
      0.2 s ago in its heading frame; `reference` float32, the full reference, for critics only.
    - Action: float32 `[J]`; servos aim at `rest + action_scale · action` radians for 1/30 s.
      Actions are clipped to ±3.2; non-finite ones count as 0.
    - Reward: imitation, contact and action terms of `retarget_terms`, lengths and speeds over the
      character's scale; 0 where the physics broke.
    - Termination: a keypoint strays, the character falls, or the physics breaks. Truncation: 10 s,
      or the end of the clip.
    - Start: a frame of the reference, drawn by `start_weights`, with its velocities.
    - Source: Reda et al. 2023, arXiv 2307.01938.
    """

    def __init__(
        self,
        character: str | Character = "human",
        motions: Sequence[Motion] | None = None,
        *,
        physics: str = "auto",
        threads: int | None = None,
        disturbed: bool = False,
        max_steps: int = 300,
    ):
        """`character`: a name, a user's MJCF file (see `make_character`), or a `Character`.
        `motions`: what to follow; by default a generated walk. Of several with one name, the later
        ones are called `name (2)` and so on in `clip_names`. `disturbed` makes room for pushes
        and lean, which costs time. `max_steps`: of an episode, 1/30 s each. Further arguments as in
        `make_physics`."""
        if max_steps < 1:
            raise InputError(f"max_steps is {max_steps}; give at least 1")
        self.character = make_character(character) if isinstance(character, str) else character
        self.physics = make_physics(
            self.character.model,
            engine=physics,
            substeps=self.character.substeps,
            outputs=OUTPUTS,
            threads=threads,
            iterations=SOLVER_ITERATIONS,
            limit=SPEED_LIMIT,
        )
        motions = default_motions() if motions is None else motions
        motions = (motions,) if isinstance(motions, Motion) else tuple(motions)
        for motion in motions:
            if not isinstance(motion, Motion):
                raise InputError(
                    f"motions holds {motion!r}; give Motions, as `load_motion(path)` reads them"
                )
        self.motions = motions
        self.clip_names = distinct_names([motion.name for motion in motions])
        self.disturbed = disturbed
        self._library = build_library(self.character, motions, max_steps)
        self._sites = self.character.keypoint_sites
        self._rest = jnp.asarray(self.character.rest)
        self._mapped = jnp.asarray(self.character.joint_map >= 0, jnp.float32)
        self._max_steps = max_steps
        reward = retarget_terms(default_weights())
        _, first = jax.eval_shape(self.reset, jax.random.key(0), self.default_params())
        sizes = {name: value.shape for name, value in first.obs.items()}
        self.spec = EnvSpec(
            name=f"retarget-{self.character.name}",
            observation_space=DictSpace.of(
                **{name: Box(-np.inf, np.inf, shape) for name, shape in sizes.items()}
            ),
            action_space=Box(-ACTION_LIMIT, ACTION_LIMIT, (self.character.num_joints,)),
            max_steps=max_steps,
            term_names=reward.names,
        )

    def default_params(self) -> RetargetParams:
        """Perfect sensors, no disturbance, uniform starts, the default reward."""
        number = lambda value: jnp.asarray(value, jnp.float32)  # noqa: E731
        return RetargetParams(
            library=self._library,
            sensors=perfect_sensors(),
            start_weights=jnp.ones((len(self.clip_names), BINS), jnp.float32),
            action_scale=number(1.0),
            look_ahead=number(LAG * self.character.damping),
            termination_distance=number(0.4),
            termination_height=number(0.4),
            push_speed=number(0.0),
            push_every=jnp.asarray(60, jnp.int32),
            lean=number(0.0),
            max_steps=jnp.asarray(self._max_steps, jnp.int32),
            reward=retarget_terms(default_weights()),
        )

    def reset(self, key: jax.Array, params: RetargetParams) -> tuple[RetargetState, TimeStep]:
        """Put the character into a frame of the reference."""
        key_start, key_within, key_sense, key_direction = jax.random.split(key, 4)
        library = params.library
        weights = params.start_weights
        start = jax.random.categorical(key_start, jnp.log(weights.reshape(-1)))
        clip, part = start // weights.shape[1], start % weights.shape[1]
        share = (part + jax.random.uniform(key_within, dtype=jnp.float32)) / weights.shape[1]
        frame = jnp.floor(share * library.starts[clip]).astype(jnp.int32)
        physics = self.physics.reset(library.qpos[clip, frame], library.qvel[clip, frame])
        past = jnp.maximum(frame - params.sensors.latency - jnp.arange(MEMORY), 0)
        points, received = corrupt(
            key_sense, jax.tree.map(lambda leaf: leaf[clip, past], library.sensed), params.sensors
        )
        zeros = jnp.zeros(self.character.num_joints, jnp.float32)
        direction = jax.random.uniform(key_direction, (), maxval=2 * np.pi, dtype=jnp.float32)
        # The reference touches the ground where the character would, had the servos settled.
        contact = library.contact[clip, frame]
        state = RetargetState(
            physics=physics,
            measured=first_memory(points, received),
            contact=contact,
            clip=clip.astype(jnp.int32),
            frame=frame,
            start=start.astype(jnp.int32),
            time=jnp.zeros((), jnp.int32),
            action=zeros,
            prev_action=zeros,
            direction=direction,
        )
        tracking = self.tracking(state, params)
        obs = self._observe(state, tracking, library)
        no, zero = jnp.zeros((), bool), jnp.zeros((), jnp.float32)
        names = params.reward.names
        return state, TimeStep(
            obs=obs,
            reward=zero,
            terms={name: zero for name in names},
            applicable={name: no for name in names},
            terminated=no,
            truncated=no,
            final_obs=obs,
            info=self._info(state, tracking, no, no),
        )

    def step(
        self, key: jax.Array, state: RetargetState, action: Any, params: RetargetParams
    ) -> tuple[RetargetState, TimeStep]:
        """Hold the action for 1/30 s."""
        library = params.library
        action = jnp.clip(
            jnp.nan_to_num(action, posinf=0.0, neginf=0.0), -ACTION_LIMIT, ACTION_LIMIT
        )
        action = action.astype(jnp.float32)
        target = self._rest + params.action_scale * action
        force = self._disturbance(state, params) if self.disturbed else None
        physics = self.physics.step(state.physics, target, force)
        frame = jnp.minimum(state.frame + 1, library.length[state.clip] - 1)
        contact = (physics.sensordata > 0).astype(jnp.float32)
        shown = jnp.maximum(frame - params.sensors.latency, 0)
        points, received = corrupt(
            key, jax.tree.map(lambda leaf: leaf[state.clip, shown], library.sensed), params.sensors
        )
        nxt = state.replace(
            physics=physics,
            measured=remember(state.measured, points, received),
            contact=contact,
            frame=frame,
            time=state.time + 1,
            action=action,
            prev_action=state.action,
        )
        tracking = self.tracking(nxt, params)
        before = self.tracking(state, params)  # costs nothing where no reward reads it
        out = params.reward.evaluate(
            state.replace(tracking=before), action, nxt.replace(tracking=tracking)
        )
        scale = self.character.scale
        terminated = physics.bad_physics | early_termination(
            tracking.keypoints,
            tracking.keypoints_ref,
            tracking.root_height,
            self.character.root_height / scale,
            1.0,
            params.termination_distance,
            params.termination_height,
        )
        truncated = (nxt.time >= params.max_steps) | (frame >= library.length[state.clip] - 1)
        sound = ~physics.bad_physics
        obs = self._observe(nxt, tracking, library)
        return nxt, TimeStep(
            obs=obs,
            reward=jnp.where(sound, out.total, 0.0),
            terms={name: jnp.where(sound, value, 0.0) for name, value in out.terms.items()},
            applicable={name: value & sound for name, value in out.applicable.items()},
            terminated=terminated,
            truncated=truncated,
            final_obs=obs,
            info=self._info(nxt, tracking, terminated, terminated | truncated),
        )

    def reference_action(self, state: RetargetState, params: RetargetParams) -> Float[Array, "J"]:
        """The action that aims at the next frame of the reference, ahead by `look_ahead` seconds:
        what a policy is cloned from before it learns to balance."""
        library = params.library
        frame = jnp.minimum(state.frame + 1, library.length[state.clip] - 1)
        aim = library.qpos[state.clip, frame, 7:]
        aim = aim + params.look_ahead * library.qvel[state.clip, frame, 6:]
        return (aim - self._rest) / params.action_scale

    def tracking(self, state: RetargetState, params: RetargetParams) -> Tracking:
        """The character beside its reference, as the reward sees it; lengths and speeds over the
        character's scale."""
        library, physics, scale = params.library, state.physics, self.character.scale
        clip, frame = state.clip, state.frame
        qpos_ref, qvel_ref = library.qpos[clip, frame], library.qvel[clip, frame]
        return Tracking(
            q=physics.qpos[7:],
            q_ref=qpos_ref[7:],
            qd=physics.qvel[6:],
            qd_ref=qvel_ref[6:],
            mapped_mask=self._mapped,
            keypoints=physics.site_pos[self._sites] / scale,
            keypoints_ref=library.keypoints[clip, frame] / scale,
            keypoints_vel=physics.site_linvel[self._sites] / scale,
            keypoints_vel_ref=library.keypoints_vel[clip, frame] / scale,
            root_height=physics.qpos[2] / scale,
            root_height_ref=qpos_ref[2] / scale,
            root_angle_error=quat_angle_between(physics.qpos[3:7], qpos_ref[3:7]),
            contact=state.contact,
            contact_ref=library.contact[clip, frame],
            action=state.action,
            prev_action=state.prev_action,
        )

    def _observe(
        self, state: RetargetState, now: Tracking, library: ReferenceLibrary
    ) -> dict[str, Array]:
        scale, physics = self.character.scale, state.physics
        keypoints = physics.site_pos[self._sites]
        actor = [
            character_features(
                physics.qpos, physics.qvel, self._rest, keypoints, now.contact, state.action, scale
            ),
            sensor_features(physics.qpos[:3], physics.qpos[3:7], state.measured, scale),
        ]
        reference = reference_features(
            physics.qpos,
            keypoints,
            library.qpos[state.clip, state.frame],
            library.qvel[state.clip, state.frame],
            self._rest,
            library.keypoints[state.clip, state.frame],
            now.contact_ref,
            scale,
        )
        return {"actor": jnp.concatenate(actor), "reference": reference}

    def _disturbance(self, state: RetargetState, params: RetargetParams) -> Float[Array, "nbody 6"]:
        """A constant lean, and a push every so often, on the root's body."""
        mass, scale = self.character.mass, self.character.scale
        turn = state.direction + 2.4 * (state.time // params.push_every)  # another side each time
        pushed = (state.time % params.push_every) == params.push_every - 1
        push = mass * params.push_speed * scale * FRAME_RATE * pushed
        lean = mass * GRAVITY * params.lean
        planar = lambda angle: jnp.stack([jnp.cos(angle), jnp.sin(angle)])  # noqa: E731
        force = push * planar(turn) + lean * planar(state.direction)
        return jnp.zeros((self.character.model.nbody, 6), jnp.float32).at[1, :2].set(force)

    def _info(
        self, state: RetargetState, now: Tracking, terminated: Array, ended: Array
    ) -> dict[str, Array]:
        distance = jnp.linalg.norm(now.keypoints - now.keypoints_ref, axis=-1)
        return {
            "keypoint_error": jnp.mean(distance),
            "joint_error": jnp.sum(now.mapped_mask * jnp.abs(now.q - now.q_ref))
            / jnp.maximum(jnp.sum(now.mapped_mask), 1.0),
            "contact_match": jnp.mean((now.contact > 0) == (now.contact_ref > 0)),
            "clip": state.clip,
            "start": state.start,
            "failed": terminated,
            "ended": ended,
        }


def default_weights() -> ImitationWeights:
    """The reward with keypoint sharpnesses that a body in the making can feel."""
    return ImitationWeights(k_keypoint=40.0, k_keypoint_vel=0.5)


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with ` (2)`, ` (3)`, ... added where one was given before."""
    taken: list[str] = []
    for name in names:
        candidates = (name if n == 1 else f"{name} ({n})" for n in range(1, len(names) + 2))
        taken.append(next(candidate for candidate in candidates if candidate not in taken))
    return tuple(taken)


def default_motions() -> tuple[Motion, ...]:
    """A generated walk, for those who have no recorded motion."""
    return (generate_motion("walk", seed=0, seconds=20.0),)
