"""What a model may contain so that every engine can run it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jaxrl_envs.physics.versions import require_mujoco
from jaxrl_rewards.core import InputError


def unsupported_features(model: Any) -> tuple[str, ...]:
    """What in a compiled model not every engine has, one phrase each; empty when all is well.

    Tendons, integrators other than Euler and implicitfast, flexible bodies, plugins, height and
    signed-distance fields, mocap bodies, actuators on bodies or slider-cranks, user-defined
    actuators, sensors that MJX lacks, and equality constraints of flexible bodies.
    """
    mujoco = require_mujoco()
    found: list[str] = []

    def count(number: int, one: str, many: str) -> None:
        if number:
            found.append(one if number == 1 else f"{number} {many}")

    count(model.ntendon, "a tendon", "tendons")
    integrator = mujoco.mjtIntegrator(model.opt.integrator)
    if integrator not in (
        mujoco.mjtIntegrator.mjINT_EULER,
        mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
    ):
        found.append(f"the integrator {_short(integrator, 'mjINT_')} (use implicitfast)")
    count(model.nflex, "a flexible body", "flexible bodies")
    count(model.nplugin, "a plugin", "plugins")
    count(model.nmocap, "a mocap body", "mocap bodies")
    count(model.nhfield, "a height field", "height fields")
    sdf = int((model.geom_type == mujoco.mjtGeom.mjGEOM_SDF).sum())
    count(sdf, "a signed-distance geom", "signed-distance geoms")
    found += _kinds(
        model.actuator_trntype,
        mujoco.mjtTrn,
        "mjTRN_",
        ("JOINT", "JOINTINPARENT", "SITE"),
        "an actuator with transmission",
        skip=("TENDON",),  # counted above
    )
    found += _kinds(
        model.actuator_dyntype,
        mujoco.mjtDyn,
        "mjDYN_",
        ("NONE", "INTEGRATOR", "FILTER", "FILTEREXACT", "MUSCLE"),
        "an actuator with dynamics",
    )
    found += _kinds(
        model.eq_type,
        mujoco.mjtEq,
        "mjEQ_",
        ("CONNECT", "WELD", "JOINT"),
        "an equality constraint by",
        skip=("TENDON",),
    )
    found += _kinds(
        model.sensor_type,
        mujoco.mjtSensor,
        "mjSENS_",
        _SENSORS,
        "a sensor of kind",
        skip=("TENDONPOS", "TENDONVEL", "TENDONACTFRC"),
    )
    return tuple(found)


def refuse_unsupported(model: Any, name: str = "the model") -> None:
    """InputError, as one sentence that lists them, when `unsupported_features` finds any."""
    found = unsupported_features(model)
    if found:
        raise InputError(
            f"{name} has {_listed(found)}, which not every physics engine supports; remove or "
            "replace them in the MJCF"
            if len(found) > 1
            else f"{name} has {found[0]}, which not every physics engine supports; remove or "
            "replace it in the MJCF"
        )


_SENSORS = [
    "TOUCH",
    "ACCELEROMETER",
    "VELOCIMETER",
    "GYRO",
    "FORCE",
    "TORQUE",
    "MAGNETOMETER",
    "RANGEFINDER",
    "JOINTPOS",
    "JOINTVEL",
    "ACTUATORPOS",
    "ACTUATORVEL",
    "ACTUATORFRC",
    "JOINTACTFRC",
    "BALLQUAT",
    "BALLANGVEL",
    "FRAMEPOS",
    "FRAMEQUAT",
    "FRAMEXAXIS",
    "FRAMEYAXIS",
    "FRAMEZAXIS",
    "FRAMELINVEL",
    "FRAMEANGVEL",
    "FRAMELINACC",
    "FRAMEANGACC",
    "SUBTREECOM",
    "SUBTREELINVEL",
    "SUBTREEANGMOM",
    "CONTACT",
    "CLOCK",
]


def _kinds(
    values: Any, kind: Any, prefix: str, known: Any, phrase: str, skip: tuple[str, ...] = ()
) -> list[str]:
    counts = Counter(_short(kind(int(value)), prefix) for value in values)
    allowed = {name.lower() for name in (*known, *skip)}
    return [f"{phrase} {name}" for name in sorted(counts) if name not in allowed]


def _short(member: Any, prefix: str) -> str:
    return member.name.removeprefix(prefix).lower()


def _listed(phrases: tuple[str, ...]) -> str:
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"
