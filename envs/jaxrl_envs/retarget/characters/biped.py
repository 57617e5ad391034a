"""Two-legged bodies from primitives: a body plan in numbers becomes an MjSpec."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxrl_envs.retarget.characters.mapping import JointMapping, Mapping, PointMapping
from jaxrl_envs.retarget.characters.record import HUMAN_JOINTS

Vector = tuple[float, float, float]

LIMITS: dict[str, tuple[float, float]] = {
    "chest_y": (-0.6, 1.2), "chest_x": (-0.6, 0.6), "chest_z": (-0.9, 0.9),
    "neck_y": (-0.8, 0.8), "neck_x": (-0.6, 0.6), "neck_z": (-1.2, 1.2),
    "hip_y": (-2.2, 0.9), "hip_x": (-0.9, 0.9), "hip_z": (-0.9, 0.9), "knee": (0.0, 2.6),
    "ankle_y": (-0.8, 1.0), "ankle_x": (-0.5, 0.5), "ankle_z": (-0.6, 0.6),
    "shoulder_y": (-3.0, 1.4), "shoulder_x": (-0.6, 3.0), "shoulder_z": (-1.6, 1.6),
    "elbow": (-2.6, 0.0),
}  # fmt: skip
"""Of the left side, radians; on the right, x and z angles are mirrored."""

REST = {"knee": 0.5, "hip_y": -0.25, "ankle_y": -0.1, "elbow": -0.3}
"""Where the servos hold the limbs when the action is zero, radians."""


@dataclasses.dataclass(frozen=True)
class BipedPlan:
    """Lengths (metres), masses (kilograms) and placements of a two-legged body."""

    name: str
    hip_offset: Vector
    """Of the left hip from the pelvis; the right one mirrored, likewise below."""
    thigh: float
    shin: float
    ankle_height: float
    """Of the ankle above the sole."""
    foot_half_size: Vector
    foot_forward: float
    """Of the middle of the foot before the ankle."""
    chest_offset: Vector
    """Of the chest's joint from the pelvis."""
    chest_half_size: Vector
    chest_centre: Vector
    neck_offset: Vector
    """Of the neck's joint from the chest's."""
    head_centre: Vector
    head_radius: float
    head_point: Vector
    """The point that is sensed and compared, in the head's frame."""
    shoulder_offset: Vector
    upper_arm: float
    forearm: float
    masses: dict[str, float]
    """pelvis, chest, head, thigh, shin, foot, upper_arm, forearm, hand, and tail, ear if any."""
    radii: dict[str, float]
    """Of pelvis, thigh, shin, upper_arm, forearm, hand and tail."""
    tail: tuple[float, ...] = ()
    """Lengths of the tail's segments, each with two hinges."""
    ears: Vector | None = None
    """Of the left ear from the head, each with one hinge."""


def build_biped(plan: BipedPlan) -> tuple[Any, Mapping]:
    """The `mujoco.MjSpec` of a body plan, and its mapping."""
    import mujoco

    spec = mujoco.MjSpec()
    spec.modelname = plan.name
    spec.compiler.degree = False
    height = plan.ankle_height + plan.shin + plan.thigh - plan.hip_offset[2]
    pelvis = spec.worldbody.add_body(name="pelvis", pos=[0, 0, height])
    pelvis.add_freejoint(name="root")
    width, radius = plan.hip_offset[1], plan.radii["pelvis"]
    _capsule(pelvis, "pelvis", (0, -width, 0), (0, width, 0), radius, plan.masses["pelvis"])

    chest = pelvis.add_body(name="chest", pos=list(plan.chest_offset))
    _ball(chest, "chest", 1)
    chest.add_geom(
        name="chest", type=mujoco.mjtGeom.mjGEOM_ELLIPSOID, size=list(plan.chest_half_size),
        pos=list(plan.chest_centre), mass=plan.masses["chest"],
    )  # fmt: skip
    head = chest.add_body(name="head", pos=list(plan.neck_offset))
    _ball(head, "neck", 1)
    head.add_geom(
        name="head", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[plan.head_radius, 0, 0],
        pos=list(plan.head_centre), mass=plan.masses["head"],
    )  # fmt: skip
    for side, mirror in (("right", -1.0), ("left", 1.0)):
        _leg(pelvis, plan, side, mirror)
        _arm(chest, plan, side, mirror)
    _tail(pelvis, plan)
    if plan.ears is not None:
        _ears(head, plan)
    return spec, _mapping(plan)


def _leg(pelvis: Any, plan: BipedPlan, side: str, mirror: float) -> None:
    import mujoco

    x, y, z = plan.hip_offset
    thigh = pelvis.add_body(name=f"{side}_thigh", pos=[x, y * mirror, z])
    _ball(thigh, f"{side}_hip", mirror)
    _segment(thigh, f"{side}_thigh", plan.thigh, plan.radii["thigh"], plan.masses["thigh"])
    shin = thigh.add_body(name=f"{side}_shin", pos=[0, 0, -plan.thigh])
    _hinge(shin, f"{side}_knee", "y", LIMITS["knee"])
    _segment(shin, f"{side}_shin", plan.shin, plan.radii["shin"], plan.masses["shin"])
    foot = shin.add_body(name=f"{side}_foot", pos=[0, 0, -plan.shin])
    _ball(foot, f"{side}_ankle", mirror)
    foot.add_geom(
        name=f"{side}_foot", type=mujoco.mjtGeom.mjGEOM_BOX, size=list(plan.foot_half_size),
        pos=[plan.foot_forward, 0, plan.foot_half_size[2] - plan.ankle_height],
        mass=plan.masses["foot"],
    )  # fmt: skip


def _arm(chest: Any, plan: BipedPlan, side: str, mirror: float) -> None:
    import mujoco

    x, y, z = plan.shoulder_offset
    upper = chest.add_body(name=f"{side}_upper_arm", pos=[x, y * mirror, z])
    _ball(upper, f"{side}_shoulder", mirror)
    radii, masses = plan.radii, plan.masses
    _segment(upper, f"{side}_upper_arm", plan.upper_arm, radii["upper_arm"], masses["upper_arm"])
    lower = upper.add_body(name=f"{side}_forearm", pos=[0, 0, -plan.upper_arm])
    _hinge(lower, f"{side}_elbow", "y", LIMITS["elbow"])
    _segment(lower, f"{side}_forearm", plan.forearm, radii["forearm"], masses["forearm"])
    lower.add_geom(
        name=f"{side}_hand", type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[radii["hand"], 0, 0],
        pos=[0, 0, -plan.forearm], mass=masses["hand"],
    )  # fmt: skip


def _tail(pelvis: Any, plan: BipedPlan) -> None:
    parent, start = pelvis, (-plan.radii["pelvis"], 0.0, 0.0)
    for index, length in enumerate(plan.tail):
        body = parent.add_body(name=f"tail_{index}", pos=list(start))
        _hinge(body, f"tail_{index}_y", "y", (-0.6, 0.6))
        _hinge(body, f"tail_{index}_z", "z", (-0.6, 0.6))
        radius = plan.radii["tail"] / (1.0 + index)
        _capsule(body, f"tail_{index}", (0, 0, 0), (-length, 0, 0), radius,
                 plan.masses["tail"] / (1.0 + index))  # fmt: skip
        parent, start = body, (-length, 0.0, 0.0)


def _ears(head: Any, plan: BipedPlan) -> None:
    x, y, z = plan.ears
    for side, mirror in (("right", -1.0), ("left", 1.0)):
        ear = head.add_body(name=f"{side}_ear", pos=[x, y * mirror, z])
        _hinge(ear, f"{side}_ear", "y", (-0.5, 0.5))
        size = plan.head_radius * 0.5
        _capsule(ear, f"{side}_ear", (0, 0, 0), (0, mirror * size * 0.5, size), size * 0.4,
                 plan.masses["ear"])  # fmt: skip


def _ball(body: Any, name: str, mirror: float) -> None:
    """Three hinges about y, x, z."""
    part = name.removeprefix("right_").removeprefix("left_")
    for axis in "yxz":
        lower, upper = LIMITS[f"{part}_{axis}"]
        if mirror < 0 and axis != "y":
            lower, upper = -upper, -lower
        _hinge(body, f"{name}_{axis}", axis, (lower, upper))


def _hinge(body: Any, name: str, axis: str, limits: tuple[float, float]) -> None:
    import mujoco

    vector = [float(axis == letter) for letter in "xyz"]
    body.add_joint(
        name=name, type=mujoco.mjtJoint.mjJNT_HINGE, axis=vector, limited=True, range=list(limits)
    )


def _segment(body: Any, name: str, length: float, radius: float, mass: float) -> None:
    _capsule(body, name, (0, 0, 0), (0, 0, -length), radius, mass)


def _capsule(body: Any, name: str, start: Any, end: Any, radius: float, mass: float) -> None:
    import mujoco

    body.add_geom(
        name=name, type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[*start, *end],
        size=[radius, 0, 0], mass=mass,
    )  # fmt: skip


def _mapping(plan: BipedPlan) -> Mapping:
    joints = {}
    for name in HUMAN_JOINTS:
        part = name.removeprefix("right_").removeprefix("left_")
        joints[name] = JointMapping(human=name, rest=REST.get(part, 0.0))
    hand = (0.0, 0.0, -plan.forearm)
    foot = (plan.foot_forward, 0.0, plan.foot_half_size[2] - plan.ankle_height)
    keypoints = {
        "head": PointMapping("head", plan.head_point),
        "left_hand": PointMapping("left_forearm", hand),
        "right_hand": PointMapping("right_forearm", hand),
        "left_foot": PointMapping("left_foot", foot),
        "right_foot": PointMapping("right_foot", foot),
    }
    feet = {"left_foot": ("left_foot",), "right_foot": ("right_foot",)}
    return Mapping(plan.name, "pelvis", joints, keypoints, feet)
