"""Readers and the writer: conventions, round trips, real files, and what bad files are told."""

import json
import re

import numpy as np
import pytest
from jaxrl_envs.retarget.characters.record import HUMAN_JOINTS
from jaxrl_envs.retarget.motion import (
    KINDS,
    generate_motion,
    human_pose,
    load_motion,
    load_motions,
    read_bvh,
    resample,
    unroll,
    write_bvh,
)
from jaxrl_envs.retarget.motion.roles import guess_roles
from motion_files import (
    amass_arrays,
    bvh_text,
    deepmimic_content,
    deepmimic_text,
    walk_rows,
)
from scipy.spatial.transform import Rotation

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.rotations import quat_angle_between


def _write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- BVH ------------------------------------------------------------------------------------


def test_bvh_against_scipy(tmp_path):
    """Channel orders differ between legs and arms; y up becomes z up."""
    rows = walk_rows()
    motion = read_bvh(_write(tmp_path, "a.bvh", bvh_text(rows)), ground=False)
    to_ours = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float)

    def world(order, columns):
        turn = Rotation.from_euler(order, columns, degrees=True).as_matrix()
        return to_ours @ turn @ to_ours.T

    hips = world("ZYX", rows[:, 3:6])
    columns = [name for name in motion.names if not name.endswith(".end")]
    angles = {n: rows[:, 3 + 3 * i : 6 + 3 * i] for i, n in enumerate(columns)}
    chest = hips @ world("ZYX", angles["Chest"])
    arm = chest @ world("ZXY", angles["LeftShoulder"])
    place = rows[:, :3] @ to_ours.T + hips @ (to_ours @ [0, 0.1, 0])
    place = place + chest @ (to_ours @ [0.19, 0.37, 0])
    elbow = place + arm @ (to_ours @ [0, -0.28, 0])
    found = motion.positions[:, motion.names.index("LeftElbow")]
    np.testing.assert_allclose(found, elbow, atol=1e-5)
    assert float(motion.frame_time) == pytest.approx(0.0083333)
    assert motion.num_frames == len(rows)


@pytest.mark.parametrize("size", [1.0, 100.0, 1000.0, 1 / 0.0254, 1 / 0.3048, 0.45 / 0.0254])
def test_units_are_guessed_from_height_and_can_be_given(tmp_path, size):
    path = _write(tmp_path, "a.bvh", bvh_text(size=size))
    assert float(human_pose(read_bvh(path)).leg_length) == pytest.approx(0.9, abs=2e-3)
    assert float(human_pose(read_bvh(path, scale=0.5 / size)).leg_length) == pytest.approx(
        0.415 + 0.05, abs=2e-3
    )


def test_z_up_files_are_recognised(tmp_path):
    upright = read_bvh(_write(tmp_path, "a.bvh", bvh_text()))
    lines = bvh_text().splitlines()
    turned = []
    for line in lines:
        words = line.split()
        if words and words[0] == "OFFSET":
            line = f"OFFSET {words[3]} {words[1]} {words[2]}"
        for word, other in (("Xr", "1r"), ("Yr", "2r"), ("Zr", "3r"), ("Xp", "1p"), ("Yp", "2p"),
                            ("Zp", "3p")):  # fmt: skip
            line = line.replace(word, other)
        for word, other in (("1", "Y"), ("2", "Z"), ("3", "X")):
            if "CHANNELS" in line:
                line = line.replace(f"{word}r", f"{other}r").replace(f"{word}p", f"{other}p")
        turned.append(line)
    motion = read_bvh(_write(tmp_path, "b.bvh", "\n".join(turned)))
    np.testing.assert_allclose(motion.positions, upright.positions, atol=1e-5)
    with pytest.raises(InputError, match="up is 'x'; use 'y' or 'z'"):
        read_bvh(tmp_path / "b.bvh", up="x")


@pytest.mark.parametrize("order", ["xyz", "zyx", "yzx"])
def test_bvh_round_trip(tmp_path, order):
    motion = generate_motion("dance", 0, seconds=1.0)
    write_bvh(motion, tmp_path / "a.bvh", order=order)
    again = read_bvh(tmp_path / "a.bvh", scale=1.0, ground=False)
    # The writer goes depth first, so joints come back in another order.
    order = [again.names.index(name) for name in motion.names]
    for number, parent in enumerate(motion.parents):
        expected = motion.names[parent] if parent >= 0 else None
        found = again.parents[order[number]]
        assert (again.names[found] if found >= 0 else None) == expected
    np.testing.assert_allclose(again.positions[:, order], motion.positions, atol=2e-6)
    assert quat_angle_between(again.rotations[:, order], motion.rotations).max() < 2e-3
    np.testing.assert_allclose(again.velocities[:, order], motion.velocities, atol=2e-4)
    assert float(again.frame_time) == pytest.approx(float(motion.frame_time), rel=1e-6)


def test_a_brace_may_stand_on_the_line_of_the_name(tmp_path):
    plain = read_bvh(_write(tmp_path, "a.bvh", bvh_text()))
    text = re.sub(r"\n\s*\{", " {", bvh_text())
    braced = read_bvh(_write(tmp_path, "b.bvh", text))
    assert " {" in text and braced.names == plain.names and braced.roles == plain.roles


def test_end_sites_survive_the_round_trip(tmp_path):
    motion = read_bvh(_write(tmp_path, "a.bvh", bvh_text()), ground=False)
    write_bvh(motion, tmp_path / "b.bvh")
    again = read_bvh(tmp_path / "b.bvh", scale=1.0, ground=False)
    assert again.names == motion.names and again.roles == motion.roles
    np.testing.assert_allclose(again.positions, motion.positions, atol=2e-6)


def test_roles_can_be_given_and_must_exist(tmp_path):
    text = bvh_text().replace("Elbow", "Bend")
    path = _write(tmp_path, "a.bvh", text)
    with pytest.raises(InputError, match="no joint plays left_elbow, right_elbow"):
        human_pose(read_bvh(path))
    roles = {"left_elbow": "LeftBend", "right_elbow": "RightBend"}
    expected = human_pose(read_bvh(_write(tmp_path, "b.bvh", bvh_text())))
    np.testing.assert_array_equal(human_pose(read_bvh(path, roles=roles)).human_q, expected.human_q)
    with pytest.raises(InputError, match="mapped to the joint 'Tail', which the file lacks"):
        read_bvh(path, roles={"left_elbow": "Tail"})
    with pytest.raises(InputError, match="no human joint is called 'tail'"):
        read_bvh(path, roles={"tail": "Hips"})


def test_the_chest_is_the_spine_joint_that_carries_both_arms():
    names = ("Hips", "Spine", "Spine1", "Spine2", "LeftArm", "RightArm", "Neck")
    roles = guess_roles(names, (-1, 0, 1, 2, 3, 3, 3))
    assert roles["chest"] == "Spine2" and roles["neck"] == "Neck"
    assert guess_roles(names, (-1, 0, 1, 2, 2, 2, 3))["chest"] == "Spine1"
    prefixed = tuple(f"mixamorig:{name}" for name in names)
    assert guess_roles(prefixed, (-1, 0, 1, 2, 3, 3, 3))["left_shoulder"] == "mixamorig:LeftArm"
    assert guess_roles(("a", "b"), (-1, 0)) == {}


def _edit(old, new, count=1):
    return lambda text: text.replace(old, new, count)


def _cell(frame, value):
    def change(text):
        lines = text.splitlines()
        row = lines.index("Frame Time: 0.0083333") + frame
        words = lines[row].split()
        words[7] = value
        lines[row] = " ".join(words)
        return "\n".join(lines)

    return change


def _stretch(text):
    """A joint that moves against its parent."""
    text = text.replace(
        "CHANNELS 3 Zrotation Yrotation Xrotation",
        "CHANNELS 3 Xposition Yposition Xrotation",
        1,
    )
    return text


@pytest.mark.parametrize(
    "change, message",
    [
        (_edit("HIERARCHY", "HIERARCHIE"), "line 1: the file must begin with HIERARCHY"),
        (_edit("CHANNELS 3", "CHANNELS 4"), "announces 4 but names 3"),
        (_edit("Zrotation", "Wrotation"), "the channel 'wrotation' is unknown"),
        (_edit("Frames: 12", "Frames: 13"), "13 frames are announced but 12 are there"),
        (_edit("Frames: 12", "Frames: 11"), "more rows than the 11 frames announced"),
        (_edit("Frames: 12", "Frames: twelve"), "'Frames: <number>' must follow MOTION"),
        (_edit("Frame Time: 0.0083333", "Frame Time: 0"), "the frame time is 0 s"),
        (_edit("Frame Time: 0.0083333", "Frame Time: 120"), "the frame time is 120 s"),
        (_cell(3, "nan"), r"line \d+: a number of frame 3 is 'nan'; give a finite number"),
        (_cell(2, "1e300"), "a number of frame 2 is '1e300'"),
        (_cell(4, "1 2"), "frame 4 has 58 numbers, but the joints have 57 channels"),
        (_cell(4, ""), "frame 4 has 56 numbers"),
        (_cell(1, "x"), "a number of frame 1 is 'x'"),
        (_edit("OFFSET 0 0 0", "OFFSET 0 0"), "OFFSET has 2 numbers; it needs 3"),
        (_edit("OFFSET 0 0 0", "OFFSET 0 inf 0"), "an OFFSET is 'inf'"),
        (_edit("JOINT RightHip", "JOINT LeftHip"), "'LeftHip' is missing or used twice"),
        (_edit("MOTION", "}\nMOTION"), "is not expected here"),
        (_edit("ROOT Hips", "JOINT Hips"), "JOINT stands in the wrong place"),
        (lambda text: text[: text.index("MOTION")], "ends where the end of the hierarchy"),
        (lambda text: bvh_text(size=1e6), "which is no human's height in metre, centimetre"),
        (lambda text: bvh_text(size=1e-3), "pass scale=<metres per unit>"),
        (_stretch, "the joint 'LeftHip' moves"),
        (lambda text: "", "ends where HIERARCHY should stand"),
        (lambda text: b"\xff\xfe\x00HIERARCHY", "is not text: byte 0 is not UTF-8"),
    ],
)
def test_bad_bvh_gets_one_clear_sentence(tmp_path, change, message):
    path = _write(tmp_path, "bad.bvh", change(bvh_text()))
    with pytest.raises(InputError, match=message) as error:
        load_motion(path)
    assert "bad.bvh" in str(error.value) and "\n" not in str(error.value)


# --- DeepMimic ------------------------------------------------------------------------------


def test_deepmimic_conventions(tmp_path):
    motion = load_motion(_write(tmp_path, "a.txt", deepmimic_text(count=9)))
    pose = human_pose(motion)
    assert motion.loop and motion.num_frames == 9
    angle = dict(zip(HUMAN_JOINTS, pose.human_q[4], strict=True))
    assert angle["left_knee"] == pytest.approx(0.6, abs=1e-5)  # bent back
    assert angle["left_elbow"] == pytest.approx(-0.3, abs=1e-5)  # bent ahead
    assert angle["right_hip_y"] == pytest.approx(-0.3, abs=1e-5)  # thigh ahead
    np.testing.assert_allclose(motion.root_position[-1, :2], [1.0, 0.0], atol=1e-6)
    left = motion.positions[0, motion.names.index("left_hip"), 1]
    assert left == pytest.approx(0.085)
    assert motion.positions[0, motion.joint("left_toe"), 0] > 0.1


def test_a_wrapped_loop_goes_on_walking(tmp_path):
    motion = load_motion(_write(tmp_path, "a.txt", deepmimic_text(count=9)))
    long = unroll(motion, 3 * motion.duration)
    np.testing.assert_allclose(long.root_position[-1, :2], [3.0, 0.0], atol=1e-5)
    speed = np.diff(long.root_position[:, 0])
    np.testing.assert_allclose(speed, 1 / 8, atol=1e-5)


def _frame(number, column, value):
    def change(content):
        content["Frames"][number][column] = value

    return change


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.pop("Frames"), "has no list 'Frames'"),
        (lambda c: c.update(Frames=[]), "'Frames' is empty"),
        (lambda c: c.update(Loop="circle"), "'Loop' is 'circle'"),
        (lambda c: c["Frames"][2].pop(), "frame 3 has 43 numbers; the humanoid needs 44"),
        (_frame(1, 5, "x"), "frame 2, number 6 is x"),
        (_frame(1, 5, float("nan")), "frame 2, number 6 is nan"),
        (_frame(1, 5, 10**400), "frame 2, number 6 is 1000"),
        (_frame(3, 0, 0.5), "frame 4 lasts 0.5 s; all frames must last equally long"),
        (_frame(0, 0, 0.0), "frame 1 lasts 0 s"),
        (lambda c: c["Frames"][1].__setitem__(slice(8, 12), [0, 0, 0, 0]), "chest has a zero"),
    ],
)
def test_bad_deepmimic_gets_one_clear_sentence(tmp_path, change, message):
    content = deepmimic_content()
    change(content)
    path = _write(tmp_path, "bad.txt", json.dumps(content))
    with pytest.raises(InputError, match=message) as error:
        load_motion(path)
    assert "bad.txt" in str(error.value) and "\n" not in str(error.value)


def test_durations_that_differ_by_rounding_are_evened_out(tmp_path):
    """0.033 and 0.034 s in turn, and 1/60 and 1/30: the motion goes on at its own speed."""
    content = deepmimic_content(count=9)
    for short, long in ((0.033, 0.034), (1 / 60, 1 / 30)):
        starts = np.concatenate([[0.0], np.cumsum([(short, long)[i % 2] for i in range(8)])])
        for number, row in enumerate(content["Frames"]):
            row[:2] = [(short, long)[number % 2], float(starts[number])]  # one metre a second
        motion = load_motion(_write(tmp_path, "a.txt", json.dumps(content)))
        assert motion.num_frames == 9
        assert motion.duration == pytest.approx(starts[-1], rel=1e-6)
        np.testing.assert_allclose(motion.velocities[:, 0, 0], 1.0, atol=1e-4)


def test_one_duration_and_a_mode_of_looping_for_all_frames(tmp_path):
    content = deepmimic_content(count=9)
    expected = load_motion(_write(tmp_path, "a.txt", json.dumps(content)))
    other = {"LoopMode": "Wrap", "FrameDuration": 1 / 30}
    other["Frames"] = [row[1:] for row in content["Frames"]]
    motion = load_motion(_write(tmp_path, "b.txt", json.dumps(other)))
    assert motion.loop and float(motion.frame_time) == float(expected.frame_time)
    np.testing.assert_array_equal(motion.positions, expected.positions)


# --- AMASS ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_key", ["mocap_framerate", "mocap_frame_rate"])
def test_amass_conventions(tmp_path, rate_key):
    np.savez(tmp_path / "a.npz", **amass_arrays(rate_key=rate_key))
    motion = load_motion(tmp_path / "a.npz")
    assert float(motion.frame_time) == pytest.approx(1 / 120)
    at = {name: motion.positions[0, number] for number, name in enumerate(motion.names)}
    # z up, facing -y, so that the left is +x.
    assert at["Head"][2] > 1.4 and at["L_Toe"][2] < 0.06
    assert at["L_Wrist"][0] > 0.6 and at["R_Wrist"][0] < -0.6
    assert at["L_Toe"][1] < at["L_Ankle"][1] - 0.1
    assert at["L_Wrist"][1] < at["R_Wrist"][1] - 0.1  # the bent elbow brings the hand ahead
    pose = human_pose(motion)
    angle = dict(zip(HUMAN_JOINTS, pose.human_q[0], strict=True))
    assert angle["left_elbow"] == pytest.approx(-0.55, abs=0.1)
    assert angle["left_shoulder_x"] == pytest.approx(np.pi / 2, abs=0.1)
    assert angle["right_shoulder_x"] == pytest.approx(-np.pi / 2, abs=0.1)
    np.testing.assert_allclose(np.diff(motion.root_position[:, 0]), 0.01, atol=1e-6)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a: a.pop("poses"), "has no 'poses'"),
        (lambda a: a.pop("trans"), "has no 'trans'"),
        (lambda a: a.pop("mocap_framerate"), "neither mocap_framerate nor mocap_frame_rate"),
        (lambda a: a.update(mocap_framerate=np.array(0.0)), "must be one number from 1 to"),
        (lambda a: a.update(poses=np.zeros((6, 30))), r"poses has shape \(6, 30\)"),
        (lambda a: a.update(trans=np.zeros((5, 3))), r"trans has shape \(5, 3\); it needs"),
        (lambda a: a.update(poses=np.array(["x"] * 6)), "poses holds <U1"),
        (lambda a: a["poses"].__setitem__((3, 7), np.nan), "poses in frame 4 is not finite"),
        (lambda a: a["trans"].__setitem__((2, 0), 1e9), "trans in frame 3"),
        (lambda a: a.update(poses=np.array([{}] * 6, object)), "is not a readable .npz"),
    ],
)
def test_bad_amass_gets_one_clear_sentence(tmp_path, change, message):
    arrays = amass_arrays()
    change(arrays)
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=message) as error:
        load_motion(tmp_path / "bad.npz")
    assert "bad.npz" in str(error.value) and "\n" not in str(error.value)


def test_poses_in_parts_and_fps_are_the_same_motion(tmp_path):
    arrays = amass_arrays()
    np.savez(tmp_path / "a.npz", **arrays)
    expected = load_motion(tmp_path / "a.npz")
    poses, rate = arrays.pop("poses"), arrays.pop("mocap_framerate")
    for body in (poses[:, 3:66], poses[:, 3:66].reshape(-1, 21, 3)):
        parts = {"root_orient": poses[:, :3], "pose_body": body, "fps": rate}
        np.savez(tmp_path / "b.npz", **arrays, **parts)
        motion = load_motion(tmp_path / "b.npz")
        np.testing.assert_array_equal(motion.positions, expected.positions)
        assert float(motion.frame_time) == float(expected.frame_time)
    np.savez(tmp_path / "b.npz", **arrays, **(parts | {"pose_body": poses[:, :30]}))
    with pytest.raises(InputError, match=r"pose_body have shapes \(6, 3\) and \(6, 30\)"):
        load_motion(tmp_path / "b.npz")


def test_smpl_with_y_up_is_told_by_who_stands(tmp_path):
    arrays = amass_arrays()
    np.savez(tmp_path / "z.npz", **arrays)
    expected = human_pose(load_motion(tmp_path / "z.npz"))
    turn = Rotation.from_euler("x", -90, degrees=True)
    root = turn * Rotation.from_rotvec(arrays["poses"][:, :3])
    arrays["poses"][:, :3] = root.as_rotvec()
    arrays["trans"] = turn.apply(arrays["trans"])
    np.savez(tmp_path / "y.npz", **arrays)
    with pytest.warns(UserWarning, match="is read with y up"):
        guessed = human_pose(load_motion(tmp_path / "y.npz"))
    for pose in (guessed, human_pose(load_motion(tmp_path / "y.npz", up="y"))):
        np.testing.assert_allclose(pose.human_q, expected.human_q, atol=1e-5)
        np.testing.assert_allclose(pose.points[..., 2], expected.points[..., 2], atol=1e-5)
        np.testing.assert_allclose(pose.sole_heights, expected.sole_heights, atol=1e-5)
    with pytest.warns(UserWarning, match="the trunk is upright in 0 %"):
        load_motion(tmp_path / "y.npz", up="z")
    with pytest.raises(InputError, match="up is 'x'; use 'y' or 'z'"):
        load_motion(tmp_path / "y.npz", up="x")


# --- all ------------------------------------------------------------------------------------


def test_files_that_are_not_there_or_unknown(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_motion(tmp_path / "none.bvh")
    with pytest.raises(InputError, match="suffix '.fbx'; motions are read from .bvh, .npz"):
        load_motion("walk.fbx")
    with pytest.raises(InputError, match="have no option 'scale'; they have ground"):
        load_motion("walk.npz", scale=1.0)
    with pytest.raises(InputError, match="have no option 'scale'; they need none"):
        load_motion("walk.txt", scale=1.0)
    with pytest.raises(InputError, match="holds no motion"):
        load_motions(tmp_path)
    _write(tmp_path, "b.txt", deepmimic_text())
    _write(tmp_path, "a.bvh", bvh_text())
    assert [motion.name for motion in load_motions(tmp_path)] == ["a", "b"]


def test_side_files_of_folders_in_folders_are_skipped_and_listed(tmp_path):
    inner = tmp_path / "set" / "01"
    inner.mkdir(parents=True)
    np.savez(inner / "01_poses.npz", **amass_arrays())
    np.savez(inner / "shape.npz", betas=np.zeros(16))
    _write(tmp_path, "READMEFIRST.txt", "Conversion notes\n")
    _write(tmp_path, "walk.bvh", bvh_text())
    _write(tmp_path, "broken.bvh", bvh_text()[:500])
    with pytest.warns(UserWarning, match="3 of 5 files were skipped") as caught:
        motions = load_motions(tmp_path)
    assert [motion.name for motion in motions] == ["01_poses", "walk"]
    told = str(caught[0].message)
    assert all(name in told for name in ("shape.npz", "READMEFIRST.txt", "broken.bvh"))
    (inner / "01_poses.npz").unlink()
    (tmp_path / "walk.bvh").unlink()
    with pytest.raises(InputError, match="no motion that can be read: .* [(]and 2 more files[)]"):
        load_motions(tmp_path)


def test_real_motion_capture(shared_data):
    """Both CMU clips and the DeepMimic clips: they stand on the ground, move as people do."""
    folder = shared_data / "mocap"
    if not folder.is_dir():
        pytest.skip(f"no motion capture at {folder}")
    motions = load_motions(folder)
    assert len(motions) >= 8
    for motion in motions:
        pose = human_pose(resample(motion, 1 / 30))
        crawls = motion.name.endswith("crawl")  # on all fours from the first frame to the last
        lowest, highest, above = (0.1, 0.45, 0.7) if crawls else (0.3, 1.2, 0.95)
        assert 0.8 < float(pose.leg_length) < 0.95, motion.name
        root = pose.root_position[:, 2]
        assert root.min() > lowest and root.max() < highest, motion.name
        assert pose.sole_heights.min() > -0.08 and pose.contacts.any()
        assert (pose.points[:, 0, 2] > root).mean() > above, motion.name
        knees = pose.human_q[:, [HUMAN_JOINTS.index(f"{s}_knee") for s in ("left", "right")]]
        elbows = pose.human_q[:, [HUMAN_JOINTS.index(f"{s}_elbow") for s in ("left", "right")]]
        assert knees.min() > -0.2 and elbows.max() < 0.2, motion.name
        assert motion.joint("left_toe") is not None and motion.joint("right_toe") is not None
        for joint in ("left_hip_y", "right_hip_y"):
            assert np.abs(pose.human_q[:, HUMAN_JOINTS.index(joint)]).max() < 2.2
    cmu = {m.name: m for m in motions}["cmu_131_01"]
    assert cmu.num_frames == 994 and float(cmu.frame_time) == pytest.approx(0.0083333)


def test_the_generated_kinds_write_and_read(tmp_path):
    for kind in KINDS:
        write_bvh(generate_motion(kind, 0, seconds=0.3), tmp_path / f"{kind}.bvh")
    motions = load_motions(tmp_path)
    assert {motion.name for motion in motions} == set(KINDS)
    for motion in motions:
        expected = human_pose(generate_motion(motion.name, 0, seconds=0.3)).human_q
        np.testing.assert_allclose(human_pose(motion).human_q, expected, atol=1e-4)
