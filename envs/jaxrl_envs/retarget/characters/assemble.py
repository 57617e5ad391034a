"""From a body plan and a mapping to a character: servos, sensors, contacts, options."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxrl_envs.retarget.characters.mapping import Mapping
from jaxrl_envs.retarget.characters.record import (
    HUMAN_JOINTS,
    HUMAN_LEG_LENGTH,
    HUMAN_MASS,
    KEYPOINTS,
    Character,
)
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

    Actuators, sensors, contact pairs and keyframes of the spec are replaced by the project's: a
    position servo per hinge, sites at the keypoints, a touch sensor per foot, contact between
    the ground and the feet alone. `where` names the spec's origin in messages; `damping` is kd / kp
    in seconds at the human's size.

    A body on shorter legs falls faster, by the square root of its size: its servos lag less in
    proportion, and its physics steps are finer. (On a third of a human's legs, walking is learnt
    from 180 steps a second and hardly from 90.)

    Raises InputError for joints other than one free joint and hinges, for tendons, equality
    constraints and plugins, and for names in `mapping` that the spec lacks.
    """
    import mujoco

    _check_supported(spec, mapping, where)
    for kind in (spec.actuators, spec.sensors, spec.pairs, spec.excludes, spec.keys):
        for element in list(kind):
            spec.delete(element)
    feet_geoms = {geom for geoms in mapping.feet.values() for geom in geoms}
    for geom in spec.geoms:
        geom.contype = geom.conaffinity = 0
    floor = spec.worldbody.add_geom(
        name="retarget_ground", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[0, 0, 0.05],
        contype=0, conaffinity=0, rgba=[0.8, 0.8, 0.8, 1.0],
    )  # fmt: skip
    for name in sorted(feet_geoms):
        spec.add_pair(geomname1=floor.name, geomname2=name, condim=3, friction=[1, 1, 0.005, 0, 0])
    for name in KEYPOINTS:
        point = mapping.keypoints[name]
        spec.body(point.body).add_site(name=f"keypoint_{name}", pos=list(point.offset))
    _add_sensors(spec, mapping)
    _set_options(spec)

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
    columns: dict[str, list[float]] = {
        name: []
        for name in (
            "joint_map",
            "sign",
            "gain",
            "offset",
            "lower",
            "upper",
            "rest",
            "kp",
            "torque",
        )
    }
    for joint in hinges:
        plan = mapping.joints.get(joint.name)
        kp, torque = _gains(plan, strength)
        joint.armature = ARMATURE * inertia
        joint.damping = np.zeros(3)
        joint.stiffness = np.zeros(3)
        joint.frictionloss = 0.0
        lower, upper = _limits(plain, joint.name)
        actuator = spec.add_actuator(
            name=joint.name, target=joint.name, trntype=mujoco.mjtTrn.mjTRN_JOINT,
            forcelimited=True, forcerange=[-torque, torque],
        )  # fmt: skip
        actuator.set_to_position(kp=kp, kv=kp * damping)
        values = (
            HUMAN_JOINTS.index(plan.human) if plan and plan.human else -1,
            plan.sign if plan else 1.0, plan.gain if plan else 1.0, plan.offset if plan else 0.0,
            lower, upper, np.clip(plan.rest if plan else 0.0, lower, upper), kp, torque,
        )  # fmt: skip
        for name, value in zip(columns, values, strict=True):
            columns[name].append(value)
    model = _compile(spec, where)
    arrays = {name: np.asarray(values, np.float32) for name, values in columns.items()}
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


def _check_supported(spec: Any, mapping: Mapping, where: str) -> None:
    import mujoco

    kinds = mujoco.mjtJoint
    free = [joint for joint in spec.joints if joint.type == kinds.mjJNT_FREE]
    if len(free) != 1:
        raise InputError(f"{where}: a character needs exactly one free joint, found {len(free)}")
    if free[0].parent.name != mapping.root:
        raise InputError(
            f"{where}: the free joint belongs to the body {free[0].parent.name!r}, but the mapping "
            f"calls {mapping.root!r} the root"
        )
    for joint in spec.joints:
        if joint.type in (kinds.mjJNT_BALL, kinds.mjJNT_SLIDE):
            raise InputError(
                f"{where}: joint {joint.name!r} is a ball or slide joint; replace it by hinges"
            )
    for name, found in (
        ("tendons", spec.tendons),
        ("equality constraints", spec.equalities),
        ("plugins", spec.plugins),
        ("flexes", spec.flexes),
    ):
        if found:
            raise InputError(f"{where}: {name} are not supported; remove them from the MJCF")
    known = {
        "joint": {joint.name for joint in spec.joints},
        "body": {body.name for body in spec.bodies},
        "geom": {geom.name for geom in spec.geoms},
    }
    wanted = [("joint", name) for name in mapping.joints]
    wanted += [("body", point.body) for point in mapping.keypoints.values()]
    wanted += [("geom", geom) for geoms in mapping.feet.values() for geom in geoms]
    for kind, name in wanted:
        if name not in known[kind]:
            raise InputError(
                f"{where}: the mapping names the {kind} {name!r}, which does not exist"
            )
    if not all(joint.name for joint in spec.joints if joint.type == kinds.mjJNT_HINGE):
        raise InputError(f"{where}: a hinge has no name; name all hinges")
    if spec.worldbody.first_body() != free[0].parent:
        raise InputError(f"{where}: the character must be the first body of the world")


def _add_sensors(spec: Any, mapping: Mapping) -> None:
    """A touch sensor per foot, N; everything else is known from positions and velocities."""
    import mujoco

    for foot, geoms in mapping.feet.items():
        geom = spec.geom(geoms[0])
        # The sensor counts contacts of this body inside the site: make the site hold all of it.
        geom.parent.add_site(
            name=f"touch_{foot}", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[2.0, 0, 0],
            pos=list(geom.pos),
        )  # fmt: skip
        spec.add_sensor(
            name=f"touch_{foot}", type=mujoco.mjtSensor.mjSENS_TOUCH,
            objtype=mujoco.mjtObj.mjOBJ_SITE, objname=f"touch_{foot}",
        )  # fmt: skip


def _set_options(spec: Any) -> None:
    import mujoco

    spec.option.timestep = TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.solver = mujoco.mjtSolver.mjSOL_PGS
    spec.option.iterations = 10
    spec.option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    spec.option.gravity = [0.0, 0.0, -9.81]


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


def lowest_point(model: Any, data: Any, geom: int) -> float:
    """Height of a box's, sphere's or capsule's lowest point; other kinds by bounding sphere."""
    import mujoco

    kinds = mujoco.mjtGeom
    rotation = data.geom_xmat[geom].reshape(3, 3)
    size, height = model.geom_size[geom], float(data.geom_xpos[geom, 2])
    kind = model.geom_type[geom]
    if kind == kinds.mjGEOM_BOX:
        return height - float(np.abs(rotation[2]) @ size)
    if kind == kinds.mjGEOM_SPHERE:
        return height - float(size[0])
    if kind == kinds.mjGEOM_CAPSULE:
        return height - float(size[0] + abs(rotation[2, 2]) * size[1])
    return height - float(model.geom_rbound[geom])
