"""From a body plan and a mapping to a character: measures and servos."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_envs.retarget.characters.checks import check_supported
from jaxrl_envs.retarget.characters.mapping import Mapping
from jaxrl_envs.retarget.characters.record import (
    HUMAN_JOINTS,
    HUMAN_LEG_LENGTH,
    HUMAN_MASS,
    Character,
)
from jaxrl_envs.retarget.characters.shapes import lowest_point
from jaxrl_envs.retarget.characters.world import furnish
from jaxrl_rewards.core import InputError

TIMESTEP = 1.0 / 90.0
SUBSTEPS = 3
"""Physics steps per control step of the human: 30 Hz control."""
DAMPING = 1.0 / 25.0
"""kd / kp of the human, seconds; a slower servo lags its target too far to balance with."""
ARMATURE = 0.02
"""Of the human's joints, kg m²; other characters by mass · leg²."""

_GAINS = {
    "chest": (1000.0, 200.0),
    "neck": (100.0, 50.0),
    "hip": (500.0, 200.0),
    "knee": (500.0, 150.0),
    "ankle": (400.0, 90.0),
    "shoulder": (400.0, 100.0),
    "elbow": (300.0, 60.0),
}
"""kp (N m/rad) and torque limit (N m) of the human's joints."""
_UNMAPPED_GAINS = (100.0, 40.0)


def assemble(spec: Any, mapping: Mapping, where: str, damping: float = DAMPING) -> Character:
    """Complete a `mujoco.MjSpec` of bodies, joints and geoms into a `Character`.

    Of the spec only the tree under the root stays as it is: bodies, geoms, hinges and their limits.
    The rest becomes the project's, whatever the MJCF said of it: a position servo per hinge (no
    other damping, stiffness, friction or limit of force), sites at the keypoints, a sensor per
    foot, contact between the ground and the feet alone, and MuJoCo's default physics options but
    for the step, integrator and solver: gravity 9.81 m/s² downwards, on all bodies, and no
    fluid or wind. Other bodies of the world are dropped, as are sites with the names of ours.
    `where` names the spec's origin in messages; `damping` is kd / kp in seconds at the human's
    size.

    A body on shorter legs falls faster, by the square root of its size: its servos lag less in
    proportion, and its physics steps are finer. (On a third of a human's legs, walking is learnt
    from 180 steps a second and hardly from 90.)

    Raises InputError for joints other than one free joint and hinges without `ref`, for tendons,
    equality constraints, flexes and plugins, for names in `mapping` that the spec's character
    lacks, and for feet that share a body.
    """
    import mujoco

    check_supported(spec, mapping, where)
    furnish(spec, mapping)
    spec.option.timestep = TIMESTEP
    _strip_joints(spec)
    plain = _compile(spec, where)
    hinges = [spec.joint(plain.joint(index).name) for index in range(1, plain.njnt)]
    measures = _measure(plain, mapping, where)
    if not np.isfinite(list(measures.values())).all() or min(measures.values()) <= 0:
        raise InputError(f"{where}: mass and heights must be positive, measured {measures}")
    strength = measures["mass"] * measures["leg_length"] / (HUMAN_MASS * HUMAN_LEG_LENGTH)
    inertia = strength * measures["leg_length"] / HUMAN_LEG_LENGTH
    tempo = min(1.0, measures["leg_length"] / HUMAN_LEG_LENGTH) ** 0.5
    damping = damping * tempo
    spec.option.timestep = TIMESTEP / max(1, round(1.0 / tempo))
    untouched = mujoco.MjSpec()  # the MJCF's own defaults are not for our servos
    plans = [_plan(plain, mapping, joint.name, strength) for joint in hinges]
    for joint, plan in zip(hinges, plans, strict=True):
        joint.armature = ARMATURE * inertia
        kp, torque = plan["kp"], plan["torque"]
        actuator = spec.add_actuator(
            untouched.default, name=joint.name, target=joint.name,
            trntype=mujoco.mjtTrn.mjTRN_JOINT, forcelimited=True, forcerange=[-torque, torque],
        )  # fmt: skip
        actuator.set_to_position(kp=kp, kv=kp * damping)
    model = _compile(spec, where)
    arrays = {name: np.asarray([plan[name] for plan in plans], np.float32) for name in COLUMNS}
    arrays["joint_map"] = arrays["joint_map"].astype(np.int32)
    return Character(
        name=mapping.name,
        model=model,
        damping=damping,
        joint_names=tuple(joint.name for joint in hinges),
        foot_names=tuple(mapping.feet),
        foot_geoms=tuple(
            tuple(model.geom(name).id for name in names) for names in mapping.feet.values()
        ),
        **arrays,
        **measures,
    )


COLUMNS = ("joint_map", "sign", "gain", "offset", "lower", "upper", "rest", "kp", "torque")
"""What a `Character` holds per hinge."""


def _strip_joints(spec: Any) -> None:
    """Joints without the springs, dampers, friction and limits of force of their own."""
    import mujoco

    for joint in spec.joints:
        joint.armature = joint.frictionloss = 0.0
        joint.damping = np.zeros(3)
        joint.stiffness = np.zeros(3)
        joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_FALSE


def _plan(model: Any, mapping: Mapping, name: str, strength: float) -> dict[str, float]:
    """The `COLUMNS` of one hinge: what the mapping says of it, its limits and its servo."""
    plan = mapping.joints.get(name)
    kp, torque = _gains(plan, strength)
    lower, upper = _limits(model, name)
    return {
        "joint_map": HUMAN_JOINTS.index(plan.human) if plan and plan.human else -1,
        "sign": plan.sign if plan else 1.0,
        "gain": plan.gain if plan else 1.0,
        "offset": plan.offset if plan else 0.0,
        "lower": lower,
        "upper": upper,
        "rest": np.clip(plan.rest if plan else 0.0, lower, upper),
        "kp": kp,
        "torque": torque,
    }


def _compile(spec: Any, where: str) -> Any:
    try:
        return spec.compile()
    except (ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"{where}: MuJoCo refuses the model ({text})") from error


def _limits(model: Any, name: str) -> tuple[float, float]:
    joint = model.joint(name)
    if not model.jnt_limited[joint.id]:
        return -np.pi, np.pi
    return tuple(float(x) for x in model.jnt_range[joint.id])


def _gains(plan: Any, strength: float) -> tuple[float, float]:
    kp, torque = _UNMAPPED_GAINS
    if plan is not None and plan.human is not None:
        kp, torque = next(value for key, value in _GAINS.items() if key in plan.human)
    kp, torque = kp * strength, torque * strength
    if plan is not None:
        kp, torque = plan.kp or kp, plan.torque or torque
    return float(kp), float(torque)


def _measure(model: Any, mapping: Mapping, where: str) -> dict[str, float]:
    """Heights above the soles with all angles 0."""
    import mujoco

    data = mujoco.MjData(model)
    data.qpos[:] = 0.0
    data.qpos[3] = 1.0
    mujoco.mj_kinematics(model, data)
    bottom = min(
        lowest_point(model, data, model.geom(name).id)
        for geoms in mapping.feet.values()
        for name in geoms
    )
    hips = [name for name, plan in mapping.joints.items() if plan.human and "hip" in plan.human]
    if mapping.leg_length is None and not hips:
        raise InputError(f"{where}: no joint maps to a hip, so the mapping must give leg_length")
    leg = mapping.leg_length
    if leg is None:
        leg = max(float(data.joint(name).xanchor[2]) for name in hips) - bottom
    return {
        "leg_length": float(leg),
        "root_height": float(-bottom),
        "head_height": float(data.site("keypoint_head").xpos[2] - bottom),
        "mass": float(model.body_mass.sum()),
    }
