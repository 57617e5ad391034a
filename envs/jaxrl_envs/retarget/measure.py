"""The stream of headset and controller poses: noise, delay, gaps, and a short memory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxrl_envs.retarget.sensors import to_heading_frame
from jaxrl_rewards.core import record
from jaxrl_rewards.core.rotations import quat_from_rotvec, quat_multiply

MEMORY = 7
"""Frames remembered, the newest first."""
SHOWN = (0, 3, 6)
"""Frames that the policy sees: now, 0.1 s and 0.2 s ago at 30 Hz."""
HOLD = 6
"""Frames for which the last pose of a point that is lost is held: 0.2 s. Then it is masked."""


@record
class Points:
    """Poses of head, left and right hand, in the character's size, world frame. Leads free."""

    position: Float[Array, "... 3 3"]
    rotation: Float[Array, "... 3 4"]
    velocity: Float[Array, "... 3 3"]


@record
class Measured:
    """What the policy's side remembers of the stream; leaves lead with `MEMORY`, newest first."""

    points: Points
    seen: Float[Array, "memory 3"]
    """1 where a pose is known or held, 0 where it is masked."""
    age: Int[Array, "3"]
    """Frames since each point was last received."""


@record
class SensorParams:
    """What is wrong with the stream; all zero for a perfect one with controllers."""

    position_noise: Float[Array, ""]
    """Standard deviation, metres of the character's size."""
    rotation_noise: Float[Array, ""]
    """Standard deviation of each component of the rotation vector, radians."""
    drop: Float[Array, ""]
    """Probability that a frame does not arrive."""
    latency: Int[Array, ""]
    """Frames between a pose and its arrival."""
    controllers: Float[Array, ""]
    """1 with controllers, 0 with the headset alone."""


def perfect_sensors() -> SensorParams:
    """No noise, no gaps, no delay, with controllers."""
    zero = jnp.zeros((), jnp.float32)
    return SensorParams(
        position_noise=zero,
        rotation_noise=zero,
        drop=zero,
        latency=jnp.zeros((), jnp.int32),
        controllers=jnp.ones((), jnp.float32),
    )


def corrupt(
    key: jax.Array, points: Points, params: SensorParams
) -> tuple[Points, Float[Array, "... 3"]]:
    """`(points, received)` as they arrive, for true points with any leading axes."""
    shape = points.position.shape

    def disturb(key: jax.Array) -> tuple[Array, Array, Array]:
        key_position, key_rotation, key_drop = jax.random.split(key, 3)
        noise = params.position_noise * jax.random.normal(key_position, shape, dtype=jnp.float32)
        turn = params.rotation_noise * jax.random.normal(key_rotation, shape, dtype=jnp.float32)
        arrived = jax.random.uniform(key_drop, shape[:-2], dtype=jnp.float32) >= params.drop
        rotation = quat_multiply(quat_from_rotvec(turn), points.rotation)
        return points.position + noise, rotation, arrived

    def keep(key: jax.Array) -> tuple[Array, Array, Array]:
        del key
        return points.position, points.rotation, jnp.ones(shape[:-2], bool)

    # random numbers cost as much as all the rest; nobody needs those that are multiplied by zero
    faults = jnp.stack([params.position_noise, params.rotation_noise, params.drop])
    position, rotation, arrived = jax.lax.cond(jnp.any(faults != 0), disturb, keep, key)
    present = jnp.stack([jnp.ones((), jnp.float32), params.controllers, params.controllers]) > 0
    received = arrived[..., None] & jnp.broadcast_to(present, (*arrived.shape, 3))
    received = received.astype(jnp.float32)
    return points.replace(position=position, rotation=rotation), received


def remember(memory: Measured, points: Points, received: Float[Array, "3"]) -> Measured:
    """The memory one frame later. A point that was not received keeps its last pose for `HOLD`
    frames, at rest, and is masked from then on."""
    got = received[:, None] > 0
    last = jax.tree.map(lambda leaf: leaf[0], memory.points)
    newest = Points(
        position=jnp.where(got, points.position, last.position),
        rotation=jnp.where(got, points.rotation, last.rotation),
        velocity=jnp.where(got, points.velocity, 0.0),
    )
    age = jnp.where(received > 0, 0, memory.age + 1)
    seen = (age <= HOLD).astype(jnp.float32)

    def push(leaf: Array, new: Array) -> Array:
        return jnp.concatenate([new[None], leaf[:-1]])

    return Measured(
        points=jax.tree.map(push, memory.points, newest), seen=push(memory.seen, seen), age=age
    )


def first_memory(points: Points, received: Float[Array, "memory 3"]) -> Measured:
    """A memory filled with `MEMORY` frames, newest first; those not received are masked."""
    return Measured(
        points=points,
        seen=received,
        age=jnp.where(received[0] > 0, 0, HOLD + 1).astype(jnp.int32),
    )


def sensor_features(
    root_pos: Float[Array, "3"], root_quat: Float[Array, "4"], memory: Measured, scale: float
) -> Float[Array, "features"]:
    """Position, rot6d and velocity of the three points at the frames `SHOWN`, in the character's
    heading frame, masked points as zeros; then whether each point is known now. Lengths and
    speeds are divided by `scale`. Shape `[3 · 3 · 12 + 3]`."""
    shown = jnp.asarray(SHOWN)
    points = jax.tree.map(lambda leaf: leaf[shown].reshape(-1, leaf.shape[-1]), memory.points)
    seen = memory.seen[shown].reshape(-1, 1)
    _, position, velocity, rotation = to_heading_frame(
        root_pos, root_quat, points.position, points.velocity, points.rotation
    )
    features = jnp.concatenate([position / scale, rotation, velocity / scale], axis=-1)
    return jnp.concatenate([(features * seen).reshape(-1), memory.seen[0]])
