"""What the rest of the project knows of a character."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

HUMAN_JOINTS: tuple[str, ...] = (
    "chest_y", "chest_x", "chest_z",
    "neck_y", "neck_x", "neck_z",
    "right_hip_y", "right_hip_x", "right_hip_z", "right_knee",
    "right_ankle_y", "right_ankle_x", "right_ankle_z",
    "right_shoulder_y", "right_shoulder_x", "right_shoulder_z", "right_elbow",
    "left_hip_y", "left_hip_x", "left_hip_z", "left_knee",
    "left_ankle_y", "left_ankle_x", "left_ankle_z",
    "left_shoulder_y", "left_shoulder_x", "left_shoulder_z", "left_elbow",
)  # fmt: skip
"""The 28 angles of the human that motions are described by, radians.

The human stands along +z and looks along +x, its left is +y, arms hang down at zero. A ball joint
is three hinges `y, x, z` in that order, so its rotation is `Ry(a) Rx(b) Rz(c)`; knees and elbows
turn about y alone (a bent knee is positive, a bent elbow negative).
"""

KEYPOINTS: tuple[str, ...] = ("head", "left_hand", "right_hand", "left_foot", "right_foot")
"""Points that are compared with the reference; the first three are also those that are sensed."""

HUMAN_LEG_LENGTH = 0.9
HUMAN_ROOT_HEIGHT = 0.95
HUMAN_HEAD_HEIGHT = 1.7
HUMAN_MASS = 45.0


@dataclasses.dataclass(frozen=True, eq=False)
class Character:
    """A simulated body and how a human's joints map to its own. `J` joints, all hinges.

    Heights and lengths in metres, angles in radians, masses in kilograms.
    """

    name: str
    model: Any
    """Compiled `mujoco.MjModel`: one free joint, then the `J` hinges in the order of
    `joint_names`, a position actuator for each, a site `keypoint_NAME` for each of `KEYPOINTS`, and
    one number of `sensordata` per foot, above 0 where it touches the ground: N of a touch sensor,
    or, of a foot on several bodies, the number of its contacts."""
    joint_names: tuple[str, ...]
    joint_map: np.ndarray
    """int32 [J]: index into `HUMAN_JOINTS`; -1 where the human has no such joint."""
    sign: np.ndarray
    """float32 [J], as `gain` and `offset`: angle = sign · gain · human angle + offset."""
    gain: np.ndarray
    offset: np.ndarray
    lower: np.ndarray
    """float32 [J], lower limits of the joints."""
    upper: np.ndarray
    rest: np.ndarray
    """float32 [J]: the targets of a zero action, limbs slightly bent."""
    kp: np.ndarray
    """float32 [J], stiffness of the position servo, N m/rad; its damping is `kp · damping`."""
    torque: np.ndarray
    """float32 [J], limit of the servo's torque, N m."""
    foot_names: tuple[str, ...]
    """The feet, in the order of the sensors; "left_foot" and "right_foot" for the bipeds."""
    foot_geoms: tuple[tuple[int, ...], ...]
    """Per foot, the geoms of the model with which it touches the ground."""
    damping: float
    """kd / kp of the servos, seconds."""
    leg_length: float
    """From the hip to the sole with straight legs."""
    root_height: float
    """Of the free body's origin above the ground, all angles 0."""
    head_height: float
    """Of the head's keypoint, all angles 0."""
    mass: float

    @property
    def scale(self) -> float:
        """Size relative to the human: the ratio of leg lengths."""
        return self.leg_length / HUMAN_LEG_LENGTH

    @property
    def substeps(self) -> int:
        """Physics steps per control step of 1/30 s."""
        return round(1.0 / 30.0 / self.model.opt.timestep)

    @property
    def keypoint_sites(self) -> np.ndarray:
        """int32 [5]: the sites of `KEYPOINTS` in the model."""
        return np.asarray([self.model.site(f"keypoint_{name}").id for name in KEYPOINTS], np.int32)

    @property
    def foot_sites(self) -> np.ndarray:
        """int32 [feet]: sites at the feet, in the order of `foot_names`."""
        return np.asarray(
            [self.model.site(f"touch_{foot}").id for foot in self.foot_names], np.int32
        )

    @property
    def num_joints(self) -> int:
        """`J`."""
        return len(self.joint_names)
