"""The common human: its angles rebuild the motion, whatever the rest pose of the file."""

import numpy as np
import pytest
from jaxrl_envs.retarget.characters.record import HUMAN_JOINTS
from jaxrl_envs.retarget.motion import (
    KINDS,
    SEGMENTS,
    build_motion,
    canonical_joint_rotations,
    forward_kinematics,
    generate_motion,
    human_pose,
)
from jaxrl_envs.retarget.motion.angles import ball_angles
from scipy.spatial.transform import Rotation

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.rotations import (
    quat_about,
    quat_angle_between,
    quat_between,
    quat_conjugate,
    quat_from_euler,
    quat_multiply,
    quat_rotate,
)


def matrices(motion):
    """World positions by homogeneous matrices in float64, written without our quaternions."""
    world = []
    for joint, parent in enumerate(motion.parents):
        local = np.zeros((motion.num_frames, 4, 4))
        quats = np.asarray(motion.rotations[:, joint], np.float64)
        local[:, :3, :3] = Rotation.from_quat(np.roll(quats, -1, axis=-1)).as_matrix()
        local[:, :3, 3] = motion.root_position if parent < 0 else motion.offsets[joint]
        local[:, 3, 3] = 1.0
        world.append(local if parent < 0 else world[parent] @ local)
    return np.stack(world, axis=1)[..., :3, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_positions_agree_with_independent_kinematics(kind):
    motion = generate_motion(kind, 1, seconds=2.0)
    np.testing.assert_allclose(motion.positions, matrices(motion), atol=2e-6)
    assert motion.num_frames == 61 and motion.positions.dtype == np.float32


def from_angles(pose, motion):
    """Joint positions of the generated human from `human_q` alone."""
    angle = dict(zip(HUMAN_JOINTS, pose.human_q.astype(np.float64).T, strict=True))
    quats = []
    for name in motion.names:
        if name == "pelvis":
            quats.append(pose.root_quat.astype(np.float64))
        elif name in angle:
            quats.append(quat_about("y", angle[name]))
        elif f"{name}_y" in angle:
            three = np.stack([angle[f"{name}_{axis}"] for axis in "yxz"], axis=-1)
            quats.append(quat_from_euler(three, "yxz"))
        else:
            quats.append(np.broadcast_to([1.0, 0, 0, 0], (motion.num_frames, 4)))
    turns = np.stack(quats, axis=1)
    return forward_kinematics(
        turns, motion.root_position.astype(np.float64), motion.offsets.astype(np.float64),
        motion.parents,
    )[1]  # fmt: skip


@pytest.mark.parametrize("kind", ["walk", "dance", "squat", "wave"])
def test_angles_rebuild_the_motion(kind):
    motion = generate_motion(kind, 0, seconds=3.0)
    pose = human_pose(motion)
    np.testing.assert_allclose(from_angles(pose, motion), motion.positions, atol=1e-5)
    assert np.abs(np.diff(pose.human_q, axis=0)).max() < 0.5


def with_other_rest(motion, turns):
    """The same motion of a skeleton whose bones point elsewhere at rest."""
    world, _ = forward_kinematics(
        motion.rotations.astype(np.float64), motion.root_position, motion.offsets, motion.parents
    )
    rest = [np.asarray(turns.get(name, [1.0, 0, 0, 0])) for name in motion.names]
    new_world = quat_multiply(world, quat_conjugate(np.stack(rest)))
    offsets, local = [], []
    for joint, parent in enumerate(motion.parents):
        offset = motion.offsets[joint].astype(np.float64)
        offsets.append(offset if parent < 0 else quat_rotate(rest[parent], offset))
        own = new_world[:, joint]
        back = own if parent < 0 else quat_multiply(quat_conjugate(new_world[:, parent]), own)
        local.append(back)
    return build_motion(
        rotations=np.stack(local, axis=1),
        root_position=motion.root_position,
        offsets=np.stack(offsets),
        names=motion.names,
        parents=motion.parents,
        frame_time=float(motion.frame_time),
        roles=dict(motion.roles),
        ankle_height=float(motion.ankle_height),
    )


@pytest.mark.parametrize("facing", [0.0, 2.0])
def test_the_rest_pose_of_the_file_does_not_matter(facing):
    motion = generate_motion("dance", 2, seconds=2.0)
    turns = {}
    whole = quat_about("z", np.float64(facing))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        arm = quat_about("x", np.float64(sign * np.pi / 2))  # T pose
        leg = quat_about("x", np.float64(sign * 0.3))  # spread legs
        parts = {"shoulder": arm, "elbow": arm, "wrist": arm, "hip": leg, "knee": leg}
        turns |= {f"{side}_{part}": quat for part, quat in parts.items()}
    turns = {name: quat_multiply(whole, turns.get(name, [1.0, 0, 0, 0])) for name in motion.names}
    other = with_other_rest(motion, turns)
    np.testing.assert_allclose(other.positions, motion.positions, atol=1e-5)
    ours, theirs = human_pose(motion), human_pose(other)
    np.testing.assert_allclose(theirs.human_q, ours.human_q, atol=1e-4)
    np.testing.assert_allclose(theirs.points, ours.points, atol=1e-4)
    for field in ("leg_length", "root_rest_height", "head_rest_height"):
        assert float(getattr(theirs, field)) == pytest.approx(float(getattr(ours, field)), abs=2e-3)


def test_measures_of_the_generated_human():
    pose = human_pose(generate_motion("walk", 0, seconds=1.0))
    assert float(pose.leg_length) == pytest.approx(0.9, abs=1e-6)
    assert float(pose.root_rest_height) == pytest.approx(0.95, abs=1e-6)
    assert float(pose.head_rest_height) == pytest.approx(0.95 + 0.56 + 0.19, abs=1e-6)


def test_forearm_twist_moves_no_joint_and_leaves_the_elbow_one_hinge():
    motion = generate_motion("dance", 1, seconds=2.0)
    turns = motion.rotations.astype(np.float64).copy()
    arm, forearm = motion.names.index("left_shoulder"), motion.names.index("left_elbow")
    twist = quat_about("z", np.full(motion.num_frames, 0.6))
    turns[:, arm] = quat_multiply(turns[:, arm], twist)
    turns[:, forearm] = quat_multiply(quat_conjugate(twist), turns[:, forearm])
    twisted = build_motion(
        rotations=turns, root_position=motion.root_position, offsets=motion.offsets,
        names=motion.names, parents=motion.parents, frame_time=float(motion.frame_time),
        roles=dict(motion.roles),
    )  # fmt: skip
    np.testing.assert_allclose(twisted.positions, motion.positions, atol=1e-5)
    ours, theirs = human_pose(motion), human_pose(twisted)
    bent = ours.human_q[:, HUMAN_JOINTS.index("left_elbow")] < -0.55
    assert bent.any()
    np.testing.assert_allclose(theirs.human_q[bent], ours.human_q[bent], atol=1e-4)


def test_canonical_rotations_join_to_the_world_rotations():
    motion = generate_motion("reach", 3, seconds=1.0)
    local, world = canonical_joint_rotations(motion)
    assert local.shape == world.shape == (31, len(SEGMENTS), 4)
    chest = quat_multiply(world[:, 0], local[:, 1])
    assert quat_angle_between(chest, world[:, SEGMENTS.index("chest")]).max() < 1e-6
    knees = local[:, [SEGMENTS.index("left_knee"), SEGMENTS.index("right_elbow")]]
    assert np.abs(knees[..., [1, 3]]).max() < 1e-6


def test_an_arm_passes_the_horizontal_without_a_jump():
    """Raised sideways from hanging to overhead: past the point where y and z turn alike."""
    raise_angle = np.linspace(0.0, 2.8, 90)
    quats = quat_from_euler(np.stack([0.05 + 0 * raise_angle, raise_angle], axis=-1), "yx")
    limits = np.array([[-3.1, 1.4], [-0.8, 3.1], [-1.8, 1.8]])
    angles = ball_angles(quats, limits[:, 0], limits[:, 1], 1 / 30)
    assert np.abs(np.diff(angles, axis=0)).max() < 0.06
    np.testing.assert_allclose(angles[:, 1], raise_angle, atol=0.02)
    bone = np.array([0.0, 0.0, -1.0])
    ours = quat_rotate(quat_from_euler(angles, "yxz"), bone)
    assert np.abs(ours - quat_rotate(quats, bone)).max() < 0.02


def test_circles_of_a_stretched_arm_do_not_wind_up():
    phase = np.linspace(0.0, 6 * np.pi, 200)
    bone = np.stack([0.08 * np.cos(phase), np.ones_like(phase), 0.08 * np.sin(phase)], axis=-1)
    quats = quat_between(np.array([0.0, 0.0, -1.0]), bone)
    limits = np.array([[-3.1, 1.4], [-0.8, 3.1], [-1.8, 1.8]])
    angles = ball_angles(quats, limits[:, 0], limits[:, 1], 1 / 30)
    assert np.ptp(angles, axis=0).max() < 1.2
    ours = quat_rotate(quat_from_euler(angles, "yxz"), np.array([0.0, 0.0, -1.0]))
    bone /= np.linalg.norm(bone, axis=-1, keepdims=True)
    assert np.abs(ours - bone).max() < 0.1


def test_generated_feet_stand_still_and_on_the_ground():
    for kind in KINDS:
        motion = generate_motion(kind, 4, seconds=4.0)
        feet = [motion.names.index(f"{side}_ankle") for side in ("left", "right")]
        speed = np.linalg.norm(motion.velocities[:, feet], axis=-1)
        standing = motion.sole_heights < 1e-4
        assert standing.any()
        # The frames beside a step have part of its speed.
        assert np.quantile(speed[standing], 0.8) < 0.05, kind
        assert motion.sole_heights.min() > -1e-4
        assert motion.contacts.any()
    airborne = ~generate_motion("jump", 4, seconds=4.0).contacts.any(axis=1)
    assert airborne.any()


def test_the_same_seed_gives_the_same_motion():
    one, other = generate_motion("dance", 5, seconds=1.0), generate_motion("dance", 5, seconds=1.0)
    np.testing.assert_array_equal(one.rotations, other.rotations)
    different = generate_motion("dance", 6, seconds=1.0)
    assert np.abs(one.rotations - different.rotations).max() > 0.01


@pytest.mark.parametrize("options", [{"seconds": 0.0}, {"frame_time": -1.0}, {"seconds": np.nan}])
def test_impossible_motions_are_refused(options):
    with pytest.raises(InputError, match="make no motion"):
        generate_motion("walk", 0, **options)
    with pytest.raises(InputError, match="no motion is called 'fly'; choose walk"):
        generate_motion("fly")


def test_missing_roles_are_named():
    motion = generate_motion("walk", 0, seconds=0.5)
    roles = tuple(pair for pair in motion.roles if "wrist" not in pair[0])
    with pytest.raises(InputError, match="no joint plays left_wrist, right_wrist"):
        human_pose(motion.replace(roles=roles))
