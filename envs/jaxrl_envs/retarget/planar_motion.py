"""A seeded generator of planar human motion: walking with arm swing, raised arms and crouches.

Every clip is a closed form of time, so velocities are its exact derivatives.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_envs.retarget.planar_body import BODIES, leg_angles
from jaxrl_rewards.core import record

RATE = 30.0
"""Frames per second of a clip, and control steps per second of the world."""
HISTORY = 6
"""Frames before a clip's first usable one: the sensors reach back 0.2 s."""
STANCE = 0.6
"""Share of the gait cycle that a foot is on the ground."""
HIP_HEIGHT = 0.745
"""Height of the hip above the centre of a foot that is on the ground, metres."""
PULSES = 2
_RAISED_SHOULDER, _RAISED_ELBOW = -1.5, -0.6
"""Angles of the raised right arm: the upper arm level, pointing forwards."""
_PULSE_SECONDS = (1.5, 3.5)
"""Shortest and longest time that a raise or a crouch takes, down and up again."""


@record
class MotionStyle:
    """What distinguishes one clip from another; leaves unbatched. Times are seconds."""

    speed: Float[Array, ""]
    """Metres per second, forwards."""
    phase: Float[Array, ""]
    """Gait phase at time 0, in cycles."""
    raise_height: Float[Array, "2"]
    """How far the right arm is raised in each pulse, 0 to 1."""
    raise_start: Float[Array, "2"]
    raise_duration: Float[Array, "2"]
    crouch_depth: Float[Array, "2"]
    """How far the hip is lowered in each pulse, metres."""
    crouch_start: Float[Array, "2"]
    crouch_duration: Float[Array, "2"]


def sample_style(key: jax.Array, *, length: float = 10.0) -> MotionStyle:
    """A random style for a clip of `length` seconds.

    Speed uniform in [0, 1.2] m/s; 60 % of the clips raise the right arm twice, 40 % crouch twice,
    by up to 0.12 m.
    """
    keys = jax.random.split(key, 6)
    speed = 1.2 * jax.random.uniform(keys[0], dtype=jnp.float32)
    phase, raises, crouches = jax.random.uniform(keys[1], (3,), dtype=jnp.float32)
    starts = length * (jax.random.uniform(keys[2], (2, PULSES), dtype=jnp.float32) - 0.1)
    shortest, longest = _PULSE_SECONDS
    durations = shortest + (longest - shortest) * jax.random.uniform(
        keys[3], (2, PULSES), dtype=jnp.float32
    )
    height = 0.5 + 0.5 * jax.random.uniform(keys[4], (PULSES,), dtype=jnp.float32)
    depth = 0.12 * jax.random.uniform(keys[5], (PULSES,), dtype=jnp.float32)
    return MotionStyle(
        speed=speed,
        phase=phase,
        raise_height=jnp.where(raises < 0.6, height, 0.0),
        raise_start=starts[0],
        raise_duration=durations[0],
        crouch_depth=jnp.where(crouches < 0.4, depth, 0.0),
        crouch_start=starts[1],
        crouch_duration=durations[1],
    )


def human_coordinates(style: MotionStyle, time: Float[Array, ""]) -> Float[Array, "11"]:
    """`q` of the planar human at `time` seconds.

    Cadence 0.8 + 0.5 v cycles per second. In stance a foot moves back at v relative to the hip,
    so it rests on the ground; the swing joins both ends with equal velocity and lifts the foot by
    0.06 + 0.08 v metres. Arms swing against the legs by 0.15 + 0.4 v radians.
    """
    human = BODIES["human"]
    cadence = 0.8 + 0.5 * style.speed
    phase = style.phase + cadence * time
    crouch = _pulses(time, style.crouch_start, style.crouch_duration, style.crouch_depth)
    lifted = _pulses(time, style.raise_start, style.raise_duration, style.raise_height)
    hip = HIP_HEIGHT - crouch
    legs = []
    for offset in (0.0, 0.5):
        x, z = _foot_path(jnp.mod(phase + offset, 1.0), style.speed, cadence)
        legs.append(leg_angles(human, jnp.stack([x, z - hip])))
    swing = (0.15 + 0.4 * style.speed) * jnp.cos(2.0 * jnp.pi * phase)
    left_shoulder, right_shoulder = swing, -swing
    bend = -0.3 - 0.2 * style.speed
    raised = jnp.clip(lifted, 0.0, 1.0)
    right_shoulder = right_shoulder + raised * (_RAISED_SHOULDER - right_shoulder)
    right_elbow = bend + raised * (_RAISED_ELBOW - bend)
    root = (style.speed * time, hip + human.foot_radius, jnp.zeros_like(time))
    return jnp.stack([*root, left_shoulder, bend, right_shoulder, right_elbow, *legs[0], *legs[1]])


def _foot_path(
    phase: Float[Array, ""], speed: Float[Array, ""], cadence: Float[Array, ""]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Where the foot's centre is: x relative to the hip, height above its place in stance."""
    half = 0.5 * speed * STANCE / cadence
    stance_x = half - speed * phase / cadence
    share = jnp.clip((phase - STANCE) / (1.0 - STANCE), 0.0, 1.0)
    slope = -speed * (1.0 - STANCE) / cadence
    square, cube = share**2, share**3
    swing_x = half * (-2.0 * (2.0 * cube - 3.0 * square + 1.0) + 1.0)
    swing_x = swing_x + slope * (cube - 2.0 * square + share) + slope * (cube - square)
    lift = (0.06 + 0.08 * speed) * jnp.sin(jnp.pi * share) ** 2
    return jnp.where(phase < STANCE, stance_x, swing_x), lift


def _pulses(
    time: Float[Array, ""],
    start: Float[Array, "2"],
    duration: Float[Array, "2"],
    height: Float[Array, "2"],
) -> Float[Array, ""]:
    """The highest of the smooth bumps sin²(π share) at `time`."""
    share = jnp.clip((time - start) / duration, 0.0, 1.0)
    return jnp.max(height * jnp.sin(jnp.pi * share) ** 2)
