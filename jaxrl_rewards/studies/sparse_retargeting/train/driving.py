"""One avatar driven in real time: a pose of head and hands in, a pose of the whole body out."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.rotations import (
    heading_yaw,
    quat_conjugate,
    quat_from_yaw,
    quat_multiply,
    quat_rotate,
)
from jaxrl_rewards.studies.sparse_retargeting.train.avatar import Avatar
from jaxrl_rewards.studies.sparse_retargeting.train.stream import LONGEST_GAP, StreamFrame

RATE = 30.0
STRAY = 0.8
"""Metres of the human's size between sensed and own head, beyond which it is placed anew."""
HUMAN_PROPORTION = 0.9 / 1.7
"""Leg length over the height of the headset."""


class Driver:
    """Steps one avatar; call `frame` for each frame of the stream, in order.

    The control rate is 30 Hz: frames that come faster update what is known, and the avatar moves
    when its next step is due. All programs are compiled in the constructor. The physics runs around
    the point of the ground below the user's head at which the avatar was placed, so that float32
    is as good far from the tracking space's origin as near it; 1 km from that point the avatar
    counts as fallen, and is placed anew.
    """

    def __init__(self, avatar: Avatar, *, head_height: float = 1.7, threads: int = 1):
        """`head_height`: of the user's headset in upright standing, metres."""
        from jaxrl_envs.physics import make_physics
        from jaxrl_envs.retarget.characters import make_character
        from jaxrl_envs.retarget.env import OUTPUTS, SPEED_LIMIT

        if not 0.3 <= head_height <= 3.0:
            raise InputError(f"head height {head_height} m is no person's; give 0.3 to 3 metres")
        self.avatar = avatar
        self.character = make_character(avatar.character, avatar.damping)
        if avatar.qpos.shape[1] != self.character.model.nq:
            raise InputError(
                f"the avatar was trained for a body with {avatar.qpos.shape[1]} positions, but "
                f"{avatar.character} has {self.character.model.nq}; train it anew"
            )
        self._physics = make_physics(
            self.character.model,
            engine="c",
            substeps=self.character.substeps,
            outputs=OUTPUTS,
            threads=threads,
            limit=SPEED_LIMIT,
        )
        planar = self.character.leg_length / (head_height * HUMAN_PROPORTION)
        vertical = self.character.head_height / head_height
        self._size = np.array([planar, planar, vertical])
        self._step, self._place = jax.jit(self._advance), jax.jit(self._start)
        self._restart()
        self._warm_up()

    @property
    def header(self) -> dict[str, Any]:
        """What the numbers of every later record mean."""
        return {
            "avatar": self.character.name,
            "rate": RATE,
            "joints": list(self.character.joint_names),
            "scale": round(self.character.scale, 6),
        }

    def frame(self, frame: StreamFrame) -> dict[str, Any] | None:
        """The avatar's pose after this frame; None where no step is due yet.

        - `state` after the last of the control steps that the frame covers: `waiting` until the
          headset is tracked and the stream has lasted 0.2 s since its start, since a gap of more
          than 1 s or since a fall; `placed` in the step that puts the avatar where the user is;
          `following`; `fallen` in the step in which it fell, strayed from the head or broke.
        - `events`: each `placed` and `fallen` in those steps, in order. After a hitch one frame
          covers several, so that `state` alone would hide some.
        - `steps`: how many those are.
        - `root`: position (metres, the avatar's size) and quaternion, and `joints`: angles in
          radians. Absent until first placed; as they were last while waiting again.
        - `ms`: the time the answer took.
        """
        began = time.perf_counter()
        self._note(frame)
        if self._due is None or frame.t - self._due > LONGEST_GAP:
            self._body, self._waiting, self._due = None, [], frame.t
        if frame.t < self._due - 1e-6:
            return None
        states = []
        while self._due <= frame.t + 1e-6:
            late = frame.t - self._due > 1.0 / RATE
            states.append(self._one(self._fresh & ~late))
            if not late:
                self._fresh[:] = False
            self._due += 1.0 / RATE
        events = [state for state in states if state in ("placed", "fallen")]
        out: dict[str, Any] = {
            "t": frame.t, "state": states[-1], "events": events, "steps": len(states)
        }  # fmt: skip
        if self._shown is not None:
            qpos = np.array(self._shown, np.float64)
            qpos[:3] += self._origin
            out["root"] = [round(float(value), 5) for value in qpos[:7]]
            out["joints"] = [round(float(value), 5) for value in qpos[7:]]
        out["ms"] = round(1000.0 * (time.perf_counter() - began), 3)
        return out

    def _note(self, frame: StreamFrame) -> None:
        """Remember the newest pose of every device, in the avatar's size."""
        scaled = frame.position * self._size
        for device in np.flatnonzero(frame.received):
            before = self._last_time[device]
            if before is not None and 1e-6 < frame.t - before < 0.25:
                moved = scaled[device] - self._position[device]
                self._velocity[device] = moved / (frame.t - before)
            else:
                self._velocity[device] = 0.0
            self._position[device], self._rotation[device] = scaled[device], frame.rotation[device]
            self._last_time[device] = frame.t
            self._fresh[device] = True

    def _one(self, received: np.ndarray) -> str:
        from jaxrl_envs.retarget.measure import MEMORY, first_memory

        velocity = np.where(received[:, None], self._velocity, 0.0)
        if self._body is None:
            self._waiting.insert(
                0, (self._position.copy(), self._rotation.copy(), velocity, received)
            )
            if len(self._waiting) < MEMORY or not received[0]:
                del self._waiting[MEMORY:]
                return "waiting"
            self._origin = self._position[0] * [1.0, 1.0, 0.0]
            *past, seen = (np.stack(leaf) for leaf in zip(*self._waiting[:MEMORY], strict=True))
            remembered = self._points(*past)
            self._memory = first_memory(remembered, seen.astype(np.float32))
            points = jax.tree.map(lambda leaf: leaf[0], remembered)
            row = self._nearest(points, received)
            self._body, self._contact = self._place(row, points)
            self._action = np.zeros(self.character.num_joints, np.float32)
            self._waiting, self._shown = [], self._body.qpos
            return "placed"
        points = self._points(self._position, self._rotation, velocity)
        self._body, self._memory, self._action, self._contact, lost = self._step(
            self._body,
            self._memory,
            self._action,
            self._contact,
            points,
            received.astype(np.float32),
        )
        self._shown = self._body.qpos
        if bool(lost):
            self._body = None
            return "fallen"
        return "following"

    def _points(self, position: np.ndarray, rotation: np.ndarray, velocity: np.ndarray) -> Any:
        """Poses as the physics knows them: seen from the origin, in float32."""
        from jaxrl_envs.retarget.measure import Points

        return Points(
            position=(position - self._origin).astype(np.float32),
            rotation=rotation.astype(np.float32),
            velocity=velocity.astype(np.float32),
        )

    def _nearest(self, points: Any, received: np.ndarray) -> np.int32:
        """The pose of the training motions in which head and hands look most like this, seen from
        the head."""
        stored = self.avatar.sensed
        weight = received.astype(float)

        def seen(position: Any, rotation: Any, velocity: Any) -> np.ndarray:
            yaw = quat_from_yaw(heading_yaw(np.asarray(rotation, float)[..., 0, :]))
            back = quat_conjugate(yaw)[..., None, :]
            local = np.asarray(position, float).copy()
            local[..., :2] -= local[..., :1, :2]
            turned = [
                quat_rotate(back, local),
                0.2 * quat_rotate(back, np.asarray(velocity, float)),
            ]
            return np.concatenate(turned, -1) * weight[:, None]

        gap = seen(*(stored[name] for name in ("position", "rotation", "velocity"))) - seen(
            points.position, points.rotation, points.velocity
        )
        return np.int32(np.argmin(np.sum(gap**2, axis=(1, 2))))

    def _start(self, row: Any, points: Any) -> tuple[Any, Any]:
        """The body in a stored pose, moved and turned so that its head is where the user's is."""
        qpos, qvel = jnp.asarray(self.avatar.qpos)[row], jnp.asarray(self.avatar.qvel)[row]
        there = jnp.asarray(self.avatar.sensed["position"])[row, 0]
        facing = jnp.asarray(self.avatar.sensed["rotation"])[row, 0]
        turn = quat_from_yaw(heading_yaw(points.rotation[0]) - heading_yaw(facing))
        planar = jnp.asarray([1.0, 1.0, 0.0])
        root = quat_rotate(turn, qpos[:3] - there * planar) + points.position[0] * planar
        qpos = jnp.concatenate([root, quat_multiply(turn, qpos[3:7]), qpos[7:]])
        qvel = jnp.concatenate([quat_rotate(turn, qvel[:3]), qvel[3:]])
        return self._physics.reset(qpos, qvel), jnp.zeros(len(self.character.foot_names))

    def _advance(
        self, body: Any, memory: Any, action: Any, contact: Any, points: Any, received: Any
    ) -> tuple[Any, ...]:
        from jaxrl_envs.retarget.features import character_features
        from jaxrl_envs.retarget.measure import remember, sensor_features

        character = self.character
        memory = remember(memory, points, received)
        keypoints = body.site_pos[character.keypoint_sites]
        rest = jnp.asarray(character.rest)
        features = jnp.concatenate(
            [
                character_features(
                    body.qpos, body.qvel, rest, keypoints, contact, action, character.scale
                ),
                sensor_features(body.qpos[:3], body.qpos[3:7], memory, character.scale),
            ]
        )
        action = jnp.clip(self.avatar.act(features), -3.2, 3.2)
        body = self._physics.step(body, rest + self.avatar.action_scale * action)
        head = body.site_pos[character.keypoint_sites[0]]
        stray = jnp.linalg.norm((head - memory.points.position[0, 0])[:2]) > STRAY * character.scale
        fallen = body.qpos[2] < 0.4 * character.root_height
        lost = body.bad_physics | fallen | (stray & (memory.seen[0, 0] > 0))
        contact = (body.sensordata > 0).astype(jnp.float32)
        return body, memory, action, contact, lost

    def _restart(self) -> None:
        """Forget the stream and the body."""
        self._body: Any = None
        self._shown: Any = None
        self._due: float | None = None
        self._waiting: list[Any] = []
        self._origin = np.zeros(3)
        self._position = np.zeros((3, 3))
        self._rotation = np.tile([1.0, 0.0, 0.0, 0.0], (3, 1))
        self._velocity = np.zeros((3, 3))
        self._last_time: list[float | None] = [None, None, None]
        self._fresh = np.zeros(3, bool)

    def _warm_up(self) -> None:
        """Compile everything with a made-up stream, then forget it."""
        pose = self.avatar.sensed
        for index in range(12):
            self.frame(
                StreamFrame(
                    index / RATE,
                    np.asarray(pose["position"][0], float) / self._size,
                    np.asarray(pose["rotation"][0], float),
                    np.ones(3, bool),
                )
            )
        self._restart()
