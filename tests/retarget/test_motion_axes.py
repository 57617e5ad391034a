"""One movement written with other axes of the joints is one movement to every reader."""

import numpy as np
import pytest
from jaxrl_envs.retarget.characters.record import HUMAN_JOINTS
from jaxrl_envs.retarget.motion import human_pose, load_motion, mirror, read_bvh
from motion_files import PEOPLE, person_bvh
from scipy.spatial.transform import Rotation

MEASURES = ("leg_length", "root_rest_height", "head_rest_height")
TOLERANCE = 1e-4


def _read(folder, text, **options):
    path = folder / "clip.bvh"
    path.write_text(text)
    return read_bvh(path, **options)


def assert_alike(found, expected):
    """Places, angles, sensed points, feet and rest heights, and the same of the mirrored motion."""
    order = [found.names.index(name) for name in expected.names]
    np.testing.assert_allclose(found.positions[:, order], expected.positions, atol=TOLERANCE)
    for ours, theirs in ((expected, found), (mirror(expected), mirror(found))):
        ours, theirs = human_pose(ours), human_pose(theirs)
        np.testing.assert_allclose(theirs.human_q, ours.human_q, atol=TOLERANCE)
        np.testing.assert_allclose(theirs.points, ours.points, atol=TOLERANCE)
        np.testing.assert_allclose(theirs.sole_heights, ours.sole_heights, atol=TOLERANCE)
        np.testing.assert_array_equal(theirs.contacts, ours.contacts)
        alike = np.abs((theirs.root_quat * ours.root_quat).sum(axis=-1))
        np.testing.assert_allclose(alike, 1.0, atol=TOLERANCE)
        for name in MEASURES:
            assert float(getattr(theirs, name)) == pytest.approx(
                float(getattr(ours, name)), abs=TOLERANCE
            )


def _check_random_axes(folder, kind, count):
    places = PEOPLE[kind]
    expected = _read(folder, person_bvh(places))
    for seed in range(count):
        turns = Rotation.random(len(places), random_state=seed)
        axes = dict(zip(places, turns, strict=True))
        assert_alike(_read(folder, person_bvh(places, axes)), expected)


@pytest.mark.parametrize("kind", PEOPLE)
def test_random_axes_of_the_joints_change_nothing(tmp_path, kind):
    _check_random_axes(tmp_path, kind, 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PEOPLE)
def test_two_hundred_choices_of_axes_change_nothing(tmp_path, kind):
    _check_random_axes(tmp_path, kind, 200)


def along_bones(places):
    """x along the bone to the first child, y where the person looks."""
    axes = {}
    for name, (parent, place) in places.items():
        child = next((p for carrier, p in places.values() if carrier == name), None)
        if child is None:
            axes[name] = axes[parent]
            continue
        x = (child - place) / np.linalg.norm(child - place)
        y = np.array([0, 0, 1.0]) - x[2] * x
        y /= np.linalg.norm(y)
        axes[name] = Rotation.from_matrix(np.stack([x, y, np.cross(x, y)], axis=1))
    return axes


def test_bones_along_x_and_a_rest_pose_lying_flat(tmp_path):
    places = PEOPLE["straight"]
    expected = _read(tmp_path, person_bvh(places))
    assert_alike(_read(tmp_path, person_bvh(places, along_bones(places))), expected)
    for axis, angle in (("x", -90), ("x", 90), ("z", 90), ("x", 180)):
        flat = dict.fromkeys(places, Rotation.from_euler(axis, angle, degrees=True))
        assert_alike(_read(tmp_path, person_bvh(places, flat)), expected)


@pytest.mark.parametrize("part", ["UpLeg", "Arm", "Foot", "Neck"])
def test_twisting_a_joint_about_its_own_bone_changes_nothing(tmp_path, part):
    """The rest pose looks the same but for what hangs below; thigh and head show nothing."""
    places = PEOPLE["straight"]
    axis = {"UpLeg": "y", "Neck": "y", "Foot": "z", "Arm": "x"}[part]
    turn = Rotation.from_euler(axis, 90, degrees=True)
    names = [name for name in places if name.endswith(part) and "Fore" not in name]
    if part == "Neck":
        names.append("Head")
    expected = _read(tmp_path, person_bvh(places))
    assert_alike(_read(tmp_path, person_bvh(places, dict.fromkeys(names, turn))), expected)


def test_the_angles_are_those_that_were_made(tmp_path):
    axes = along_bones(PEOPLE["tall"])
    pose = human_pose(_read(tmp_path, person_bvh(PEOPLE["tall"], axes)))
    largest = np.degrees(np.abs(pose.human_q).max(axis=0))
    for joint, degrees in (("left_elbow", 60), ("right_knee", 70), ("neck_y", 30),
                           ("right_hip_y", 60), ("left_knee", 0), ("chest_z", 0)):  # fmt: skip
        assert largest[HUMAN_JOINTS.index(joint)] == pytest.approx(degrees, abs=0.3), joint


def test_the_up_axis_is_the_one_along_which_the_person_stands(tmp_path):
    """z up in the world, whatever the rest pose says."""
    places = PEOPLE["straight"]
    expected = _read(tmp_path, person_bvh(places))
    raised = Rotation.from_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    for axes in ({}, along_bones(places)):
        assert_alike(_read(tmp_path, person_bvh(places, axes, turn=raised)), expected)


def test_who_sits_all_the_time_is_read_upright(tmp_path):
    """No frame shows a standing person; bones and trunk say what is up."""
    places = PEOPLE["straight"]
    raised = Rotation.from_matrix([[0, 0, 1], [1, 0, 0], [0, 1, 0]])
    expected = _read(tmp_path, person_bvh(places, sits=True))
    for seed, turn in ((0, None), (1, raised)):
        turns = Rotation.random(len(places), random_state=seed)
        axes = dict(zip(places, turns, strict=True))
        found = _read(tmp_path, person_bvh(places, axes, sits=True, turn=turn))
        order = [found.names.index(name) for name in expected.names]
        np.testing.assert_allclose(found.positions[:, order], expected.positions, atol=TOLERANCE)
        limbs = [i for i, name in enumerate(HUMAN_JOINTS) if "ankle" not in name]
        ours, theirs = human_pose(expected).human_q, human_pose(found).human_q
        np.testing.assert_allclose(theirs[:, limbs], ours[:, limbs], atol=TOLERANCE)


def test_offsets_may_stand_in_position_channels(tmp_path):
    places = PEOPLE["straight"]
    expected = _read(tmp_path, person_bvh(places))
    assert_alike(_read(tmp_path, person_bvh(places, in_channels=True)), expected)


def test_a_fixed_root_above_the_hips_is_folded_into_them(tmp_path):
    places = PEOPLE["straight"]
    expected = _read(tmp_path, person_bvh(places))
    found = _read(tmp_path, person_bvh(places, above=True))
    assert found.names[0] == "Hips" and "Reference" not in found.names
    assert_alike(found, expected)


def test_who_never_stands_is_reported(tmp_path):
    lying = Rotation.from_euler("z", 90, degrees=True)
    path = tmp_path / "lying.bvh"
    path.write_text(person_bvh(PEOPLE["straight"], turn=lying))
    with pytest.warns(UserWarning, match="lying: the trunk is upright in 0 % of the frames"):
        load_motion(path)


def test_joints_bent_further_than_a_humans_are_reported(tmp_path):
    places = PEOPLE["straight"]
    motion = _read(tmp_path, person_bvh(places))
    turns = np.array(motion.rotations)
    turns[:, motion.joint("left_knee")] = [np.cos(0.6), 0, -np.sin(0.6), 0]  # a bird's knee
    with pytest.warns(UserWarning, match="left_hip_z bend further than a human's joints in 100 %"):
        human_pose(motion.replace(rotations=turns))
