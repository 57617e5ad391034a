"""The state that every engine takes and gives, and what can be asked of it."""

from __future__ import annotations

from jaxtyping import Array, Bool, Float, UInt32

from jaxrl_rewards.core import record

OUTPUTS = (
    "body_pos",
    "body_quat",
    "body_linvel",
    "body_angvel",
    "site_pos",
    "site_linvel",
    "site_angvel",
    "com",
    "actuator_force",
    "sensordata",
)
"""Derived quantities, by the name of their field in `PhysicsState`."""

DEFAULT_OUTPUTS = (
    "body_pos",
    "body_quat",
    "body_linvel",
    "body_angvel",
    "site_pos",
    "site_linvel",
    "sensordata",
)


@record
class PhysicsState:
    """One world at one moment; SI units, world frame, quaternions w, x, y, z, float32.

    Positions and velocities, sensors of them included, are those of this moment. What follows from
    forces (`actuator_force` and sensors of touch, contact, force, torque, acceleration) is that of
    the last substep, and 0 after `reset` and after a divergence. A derived field that was not asked
    for is None. Fields are results: to set positions or velocities, call `Physics.set_state`.
    """

    qpos: Float[Array, "nq"]
    qvel: Float[Array, "nv"]
    act: Float[Array, "na"]
    """Activations of actuators that have them."""
    time: Float[Array, ""]
    """Seconds since the last reset."""
    bad_physics: Bool[Array, ""]
    """Whether a step diverged since the last reset; the state is then the model's rest pose."""
    warmstart: Float[Array, "nv"]
    """Accelerations from which the solver starts; empty under the engine `c` (see `packed`)."""
    packed: UInt32[Array, "bits"]
    """Engine `c`: time, positions, velocities, activations and warm start as the bits of the
    engine's float64 numbers, so that no step rounds them. Empty under the others."""
    body_pos: Float[Array, "nbody 3"] | None = None
    """Origins of the bodies' frames; body 0 is the world."""
    body_quat: Float[Array, "nbody 4"] | None = None
    body_linvel: Float[Array, "nbody 3"] | None = None
    """Velocities of the bodies' origins."""
    body_angvel: Float[Array, "nbody 3"] | None = None
    site_pos: Float[Array, "nsite 3"] | None = None
    site_linvel: Float[Array, "nsite 3"] | None = None
    site_angvel: Float[Array, "nsite 3"] | None = None
    com: Float[Array, "nbody 3"] | None = None
    """Centre of mass of each body's subtree; row 1 is that of a single character."""
    actuator_force: Float[Array, "nu"] | None = None
    """Force or torque of each actuator before its gear, after its limit."""
    sensordata: Float[Array, "nsensordata"] | None = None
