"""Planar characters: a torso with two-joint arms and legs in the vertical plane.

Coordinates `q` `[11]`: root x and z (the hip), pitch, then left shoulder, left elbow, right
shoulder, right elbow, left hip, left knee, right hip, right knee. Angles turn about the y axis
(forward x, up z): a positive angle swings a hanging limb backwards. Metres, kilograms, radians.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

JOINTS = (
    "left_shoulder",
    "left_elbow",
    "right_shoulder",
    "right_elbow",
    "left_hip",
    "left_knee",
    "right_hip",
    "right_knee",
)
KEYPOINTS = ("head", "left_hand", "right_hand", "left_foot", "right_foot")
COORDINATES = 3 + len(JOINTS)
LEGS = slice(7, 11)
"""The leg joints in `q`."""
FEET = slice(3, 5)
"""The feet among the keypoints."""
SENSED = slice(0, 3)
"""Head and hands among the keypoints: what a headset and two controllers see."""

REST_JOINTS = (0.0, -0.3, 0.0, -0.3, -0.3, 0.6, -0.3, 0.6)
LOWER = (-3.0, -2.5, -3.0, -2.5, -1.6, 0.0, -1.6, 0.0)
UPPER = (1.2, 0.0, 1.2, 0.0, 1.0, 2.4, 1.0, 2.4)
_GAINS = {"shoulder": (60.0, 3.0, 60.0), "elbow": (40.0, 2.0, 40.0)}
_LEG_GAINS = (300.0, 15.0, 250.0)
_ARMATURE, _DAMPING = 0.05, 1.0
"""Of every limb joint of the human: kg·m², N·m·s/rad."""
_HUMAN_MASS, _HUMAN_LEG = 42.0, 0.8


@dataclasses.dataclass(frozen=True)
class PlanarBody:
    """Lengths and masses of a character; static."""

    name: str
    torso: float = 0.4
    """From the hip to the shoulder."""
    head: float = 0.2
    """From the shoulder to the headset."""
    upper_arm: float = 0.25
    forearm: float = 0.25
    thigh: float = 0.4
    shin: float = 0.4
    """From the knee to the centre of the foot's sphere."""
    foot_radius: float = 0.05
    torso_mass: float = 20.0
    upper_arm_mass: float = 1.5
    forearm_mass: float = 1.0
    thigh_mass: float = 5.0
    shin_mass: float = 3.0
    foot_mass: float = 0.5
    tail: float = 0.0
    """Length of a tail held stiffly behind the hip."""
    tail_mass: float = 0.0

    @property
    def leg(self) -> float:
        """Length of the stretched leg."""
        return self.thigh + self.shin

    @property
    def mass(self) -> float:
        """Mass of the whole character."""
        arm = self.upper_arm_mass + self.forearm_mass
        leg = self.thigh_mass + self.shin_mass + self.foot_mass
        return self.torso_mass + self.tail_mass + 2.0 * (arm + leg)

    @property
    def strength(self) -> float:
        """Gains and torques relative to the human's: mass times leg length."""
        return self.mass * self.leg / (_HUMAN_MASS * _HUMAN_LEG)

    @property
    def rest_root_height(self) -> float:
        """Height of the hip in the rest pose with the feet on the ground."""
        hip, knee = REST_JOINTS[4:6]
        drop = self.thigh * np.cos(hip) + self.shin * np.cos(hip + knee)
        return float(drop + self.foot_radius)

    @property
    def rest_head_height(self) -> float:
        """Height of the headset in the rest pose."""
        return self.rest_root_height + self.torso + self.head

    def rest_coordinates(self) -> np.ndarray:
        """`q` of the rest pose at x = 0, float32 `[11]`."""
        return np.asarray([0.0, self.rest_root_height, 0.0, *REST_JOINTS], np.float32)

    def gains(self) -> np.ndarray:
        """Per joint kp (N·m/rad), kd (N·m·s/rad) and torque limit (N·m), float64 `[8, 3]`."""
        table = [_GAINS.get(name.partition("_")[2], _LEG_GAINS) for name in JOINTS]
        return np.asarray(table) * self.strength


BODIES: dict[str, PlanarBody] = {
    "human": PlanarBody("human"),
    "dinosaur": PlanarBody(
        "dinosaur",
        torso=0.5,
        upper_arm=0.12,
        forearm=0.12,
        thigh=0.25,
        shin=0.25,
        foot_radius=0.05 * 0.5 / 0.8,
        tail=0.5,
        tail_mass=6.0,
    ),
    "mouse": PlanarBody(
        "mouse",
        torso=0.14,
        head=0.08,
        upper_arm=0.07,
        forearm=0.07,
        thigh=0.4 / 3,
        shin=0.4 / 3,
        foot_radius=0.05 / 3,
        torso_mass=20.0 / 27,
        upper_arm_mass=1.5 / 27,
        forearm_mass=1.0 / 27,
        thigh_mass=5.0 / 27,
        shin_mass=3.0 / 27,
        foot_mass=0.5 / 27,
    ),
}
"""The human of the study, a dinosaur-like body (short legs and arms, long torso, tail) and a
mouse-like one (a third of the human's leg, same density)."""


def segments(body: PlanarBody, q: Float[Array, "... 11"]) -> dict[str, Float[Array, "... 2"]]:
    """World (x, z) of the joints and ends of all limbs, for kinematics and drawing."""
    root = q[..., 0:2]
    pitch = q[..., 2]
    shoulder = root - body.torso * _down(pitch)
    points = {"hip": root, "shoulder": shoulder, "head": shoulder - body.head * _down(pitch)}
    chains = (
        ("left", 3, shoulder, body.upper_arm, body.forearm, "elbow", "hand"),
        ("right", 5, shoulder, body.upper_arm, body.forearm, "elbow", "hand"),
        ("left", 7, root, body.thigh, body.shin, "knee", "foot"),
        ("right", 9, root, body.thigh, body.shin, "knee", "foot"),
    )
    for side, first, start, upper, lower, middle, end in chains:
        angle = pitch + q[..., first]
        points[f"{side}_{middle}"] = start + upper * _down(angle)
        bent = angle + q[..., first + 1]
        points[f"{side}_{end}"] = points[f"{side}_{middle}"] + lower * _down(bent)
    tail = jnp.stack([-jnp.cos(pitch), jnp.sin(pitch)], axis=-1)
    points["tail"] = root + body.tail * tail
    return points


def keypoints(body: PlanarBody, q: Float[Array, "... 11"]) -> Float[Array, "... 5 2"]:
    """World (x, z) of head, hands and the centres of the feet."""
    points = segments(body, q)
    return jnp.stack([points[name] for name in KEYPOINTS], axis=-2)


def foot_heights(body: PlanarBody, points: Float[Array, "... 5 2"]) -> Float[Array, "... 2"]:
    """Height of the feet's lowest points above the ground, from `keypoints`."""
    return points[..., FEET, 1] - body.foot_radius


def leg_angles(
    body: PlanarBody, foot: Float[Array, "... 2"]
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Hip and knee angles that bring the foot's centre to `foot`, relative to the hip, pitch 0.

    Law of cosines; a foot out of reach is approached with the leg all but stretched.
    """
    x, z = foot[..., 0], foot[..., 1]
    furthest, nearest = body.leg * (1.0 - 1e-4), abs(body.thigh - body.shin) + 1e-3
    distance = jnp.clip(jnp.sqrt(x * x + z * z), nearest, furthest)
    square = distance * distance
    thigh, shin = body.thigh, body.shin
    knee = jnp.arccos((square - thigh**2 - shin**2) / (2.0 * thigh * shin))
    inner = jnp.arccos((square + thigh**2 - shin**2) / (2.0 * thigh * distance))
    direction = jnp.arctan2(-x, -z)
    return direction - inner, knee


def build_spec(body: PlanarBody, *, timestep: float = 1.0 / 60.0) -> Any:
    """The character on a floor as a `mujoco.MjSpec`, with PD servos on its eight joints.

    The root slides in x and z; its pitch has a spring and damper as balance aid, so that weight
    and propulsion come through the feet only, which are the only parts that touch the floor.
    """
    import mujoco

    spec = mujoco.MjSpec()
    spec.modelname = f"planar-{body.name}"
    spec.compiler.degree = False
    option = spec.option
    option.timestep = timestep
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.iterations, option.ls_iterations = 10, 10
    plane = mujoco.mjtGeom.mjGEOM_PLANE
    spec.worldbody.add_geom(name="floor", type=plane, size=[0, 0, 1], contype=0, conaffinity=0)
    torso = _add_torso(spec, body)
    for side in ("left", "right"):
        _add_chain(
            torso, body, side, ("shoulder", "elbow"), body.torso, (body.upper_arm, body.forearm),
            (body.upper_arm_mass, body.forearm_mass), 0.03,
        )  # fmt: skip
    for side in ("left", "right"):
        shin = _add_chain(
            torso, body, side, ("hip", "knee"), 0.0, (body.thigh, body.shin),
            (body.thigh_mass, body.shin_mass), 0.05,
        )  # fmt: skip
        shin.add_geom(
            name=f"{side}_foot", type=mujoco.mjtGeom.mjGEOM_SPHERE, pos=[0, 0, -body.shin],
            mass=body.foot_mass, size=[body.foot_radius, 0, 0], contype=0, conaffinity=0,
        )  # fmt: skip
        spec.add_pair(geomname1="floor", geomname2=f"{side}_foot", condim=3)
    for name, (kp, kd, limit) in zip(JOINTS, body.gains(), strict=True):
        servo = spec.add_actuator(
            name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT,
            forcelimited=True, forcerange=[-limit, limit],
        )  # fmt: skip
        servo.set_to_position(kp=kp, kv=kd)
    return spec


def _add_torso(spec: Any, body: PlanarBody) -> Any:
    """The root with its three joints, the trunk and, where there is one, the tail."""
    import mujoco

    slide, hinge = mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE
    torso = spec.worldbody.add_body(name="torso")
    for name, kind, axis in (
        ("root_x", slide, [1, 0, 0]),
        ("root_z", slide, [0, 0, 1]),
        ("pitch", hinge, [0, 1, 0]),
    ):
        torso.add_joint(name=name, type=kind, axis=axis)
    pitch = torso.joints[-1]
    pitch.stiffness = _triple(300.0 * body.strength)
    pitch.damping = _triple(30.0 * body.strength)
    _add_limb(torso, body, "torso", body.torso_mass, (0, 0), (0, body.torso), 0.08)
    if body.tail_mass > 0.0:
        _add_limb(torso, body, "tail", body.tail_mass, (0, 0), (-body.tail, 0), 0.03)
    return torso


def _add_chain(torso, body, side, names, height, lengths, masses, radius) -> Any:
    """Two limbs that hang from the torso at `height`, each on a hinge; the last of them."""
    import mujoco

    inertia = body.mass * body.leg**2 / (_HUMAN_MASS * _HUMAN_LEG**2)
    parent, at = torso, [0.0, 0.0, height]
    for name, length, mass in zip(names, lengths, masses, strict=True):
        part = parent.add_body(name=f"{side}_{name}_link", pos=at)
        index = JOINTS.index(f"{side}_{name}")
        joint = part.add_joint(
            name=f"{side}_{name}", type=mujoco.mjtJoint.mjJNT_HINGE, axis=[0, 1, 0],
            armature=_ARMATURE * inertia, limited=True, range=[LOWER[index], UPPER[index]],
        )  # fmt: skip
        joint.damping = _triple(_DAMPING * body.strength)
        _add_limb(part, body, f"{side}_{name}", mass, (0, 0), (0, -length), radius)
        parent, at = part, [0.0, 0.0, -length]
    return parent


def _add_limb(parent, body, name, mass, start, end, radius) -> None:
    """A capsule from `start` to `end` (x, z), `radius` thick on a human."""
    import mujoco

    size = body.leg / _HUMAN_LEG
    parent.add_geom(
        name=name, type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=[start[0], 0, start[1], end[0], 0, end[1]],
        size=[radius * size, 0, 0], mass=mass, contype=0, conaffinity=0,
    )  # fmt: skip


def _triple(value: float) -> Any:
    """A joint's spring or damper as this MuJoCo stores it: linear, with two zero coefficients."""
    return [value, 0.0, 0.0]


def _down(angle: Float[Array, "..."]) -> Float[Array, "... 2"]:
    """The direction of a limb that hangs at `angle` from straight down."""
    return jnp.stack([-jnp.sin(angle), -jnp.cos(angle)], axis=-1)
