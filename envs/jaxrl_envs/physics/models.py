"""Helpers for models built with `MjSpec`."""

from __future__ import annotations

from typing import Any

from jaxrl_envs.physics.versions import require_mujoco
from jaxrl_rewards.core import InputError


def add_position_servo(
    spec: Any, joint: str, *, kp: float, kd: float, limit: float, name: str | None = None
) -> Any:
    """Add PD control of a hinge or slide joint to an `MjSpec`; returns the actuator.

    The control is the target angle in rad (or position in m) and the torque in N·m (or force in N)
    is kp·(target - q) - kd·q', clipped to ±limit, computed anew at every physics substep. With the
    integrator `implicitfast` its damping is integrated implicitly. InputError unless kp and limit
    are above 0 and kd is at least 0.
    """
    mujoco = require_mujoco()
    for label, value, lowest in (("kp", kp, 0.0), ("kd", kd, -1e-300), ("limit", limit, 0.0)):
        if not value > lowest:
            raise InputError(f"{label} of the servo at joint {joint!r} is {value}; it is too small")
    return spec.add_actuator(
        name=name or joint,
        target=joint,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        gaintype=mujoco.mjtGain.mjGAIN_FIXED,
        biastype=mujoco.mjtBias.mjBIAS_AFFINE,
        gainprm=[kp] + [0.0] * 9,
        biasprm=[0.0, -kp, -kd] + [0.0] * 7,
        forcelimited=True,
        forcerange=[-limit, limit],
    )
