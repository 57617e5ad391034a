"""Recorded and generated human motion: one record, its readers, and what is made of it."""

from jaxrl_envs.retarget.motion.amass import read_amass
from jaxrl_envs.retarget.motion.bvh import read_bvh, write_bvh
from jaxrl_envs.retarget.motion.deepmimic import read_deepmimic
from jaxrl_envs.retarget.motion.edit import (
    blend,
    close_loop,
    crop,
    mirror,
    resample,
    time_warp,
    unroll,
)
from jaxrl_envs.retarget.motion.generate import KINDS, generate_motion
from jaxrl_envs.retarget.motion.human import (
    SEGMENTS,
    HumanPose,
    canonical_joint_rotations,
    human_pose,
)
from jaxrl_envs.retarget.motion.library import (
    MotionLibrary,
    build_library,
    look_up,
    sample_start,
    window,
)
from jaxrl_envs.retarget.motion.load import load_motion, load_motions
from jaxrl_envs.retarget.motion.record import Motion, build_motion, forward_kinematics
from jaxrl_envs.retarget.motion.roles import REQUIRED_ROLES, ROLES, TABLES

__all__ = [
    "KINDS",
    "REQUIRED_ROLES",
    "ROLES",
    "SEGMENTS",
    "TABLES",
    "HumanPose",
    "Motion",
    "MotionLibrary",
    "blend",
    "build_library",
    "build_motion",
    "canonical_joint_rotations",
    "close_loop",
    "crop",
    "forward_kinematics",
    "generate_motion",
    "human_pose",
    "load_motion",
    "load_motions",
    "look_up",
    "mirror",
    "read_amass",
    "read_bvh",
    "read_deepmimic",
    "resample",
    "sample_start",
    "time_warp",
    "unroll",
    "window",
    "write_bvh",
]
