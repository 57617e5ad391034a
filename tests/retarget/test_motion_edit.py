"""Resampling, cutting, unrolling, mirroring, warping and blending."""

import numpy as np
import pytest
from jaxrl_envs.retarget.motion import (
    blend,
    close_loop,
    crop,
    generate_motion,
    human_pose,
    mirror,
    resample,
    time_warp,
    unroll,
)
from jaxrl_envs.retarget.motion.edit import sample_frames
from scipy.spatial.transform import Rotation, Slerp

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.rotations import quat_angle_between


@pytest.fixture(scope="module")
def walk():
    return generate_motion("walk", 0, seconds=2.0)


@pytest.fixture(scope="module")
def dance():
    return generate_motion("dance", 0, seconds=2.0)


def same(one, other, atol=1e-5):
    assert one.num_frames == other.num_frames and one.names == other.names
    assert quat_angle_between(one.rotations, other.rotations).max() < 1e-3
    for field in ("positions", "velocities", "offsets", "sole_heights"):
        np.testing.assert_allclose(getattr(one, field), getattr(other, field), atol=atol * 30)
    np.testing.assert_allclose(one.positions, other.positions, atol=atol)


def test_resampling_to_its_own_rate_changes_nothing(walk):
    same(resample(walk, float(walk.frame_time)), walk)


@pytest.mark.parametrize("factor", [0.5, 1.0 / 3.0])
def test_resampling_finer_and_back_is_the_identity(walk, factor):
    fine = resample(walk, factor * float(walk.frame_time))
    assert fine.num_frames == round((walk.num_frames - 1) / factor) + 1
    same(resample(fine, float(walk.frame_time)), walk)


def test_interpolation_agrees_with_scipy(dance):
    times = np.random.default_rng(0).uniform(0, dance.duration, 30)
    rotations, root = sample_frames(dance, times)
    frames = np.arange(dance.num_frames) * float(dance.frame_time)
    joint = dance.names.index("left_shoulder")
    spline = Slerp(frames, Rotation.from_quat(np.roll(dance.rotations[:, joint], -1, axis=-1)))
    ours = Rotation.from_quat(np.roll(rotations[:, joint], -1, axis=-1))
    assert (ours.inv() * spline(times)).magnitude().max() < 1e-5
    for axis in range(3):
        np.testing.assert_allclose(
            root[:, axis], np.interp(times, frames, dance.root_position[:, axis]), atol=1e-6
        )


def test_velocities_are_those_of_the_new_frames(walk):
    coarse = resample(walk, 0.1)
    expected = np.gradient(coarse.positions.astype(np.float64), 0.1, axis=0)
    np.testing.assert_allclose(coarse.velocities, expected, atol=1e-4)


def test_mirroring_twice_is_the_identity(dance):
    same(mirror(mirror(dance)), dance)


def test_a_mirror_swaps_left_and_right(dance):
    image = mirror(dance)
    left, right = (dance.names.index(f"{side}_wrist") for side in ("left", "right"))
    np.testing.assert_allclose(
        image.positions[:, left], dance.positions[:, right] * [1, -1, 1], atol=1e-5
    )
    np.testing.assert_array_equal(image.contacts, dance.contacts[:, ::-1])
    ours, theirs = human_pose(dance), human_pose(image)
    np.testing.assert_allclose(theirs.points[:, 0], ours.points[:, 0] * [1, -1, 1], atol=1e-5)


def test_a_lopsided_skeleton_is_not_mirrored(dance):
    parents = list(dance.parents)
    parents[dance.names.index("left_knee")] = 0
    with pytest.raises(InputError, match="left and right side have different joints"):
        mirror(dance.replace(parents=tuple(parents)))


def test_unrolling_a_loop_has_no_seam():
    # Rotations end a little beside where they began, as recorded loops do.
    cycle = crop(generate_motion("walk", 0, seconds=2.0), 0.0, 1.2).replace(loop=True)
    closed = close_loop(cycle)
    assert quat_angle_between(closed.rotations[0], closed.rotations[-1]).max() < 1e-3
    assert closed.root_position[0, 2] == pytest.approx(closed.root_position[-1, 2], abs=1e-6)
    long = unroll(cycle, 5.0)
    assert long.duration >= 5.0 and not long.loop
    period = cycle.num_frames - 1
    way = closed.root_position[-1, :2] - closed.root_position[0, :2]
    np.testing.assert_allclose(
        long.root_position[period:, :2] - long.root_position[:-period, :2],
        np.broadcast_to(way, (long.num_frames - period, 2)), atol=1e-5,
    )  # fmt: skip
    steps = np.linalg.norm(np.diff(long.root_position, axis=0), axis=1)
    assert steps.max() < 2.0 * np.median(steps)
    assert unroll(long, 99.0) is long


def test_a_loop_keeps_its_period_when_resampled():
    cycle = crop(generate_motion("walk", 0, seconds=2.0), 0.0, 1.0).replace(loop=True)
    other = resample(cycle, 0.07)
    assert other.duration == pytest.approx(cycle.duration, rel=1e-5)
    np.testing.assert_allclose(other.root_position[-1], cycle.root_position[-1], atol=1e-5)


def test_tempo(walk):
    fast = time_warp(walk, 2.0)
    assert fast.duration == pytest.approx(walk.duration / 2, abs=1e-3)
    np.testing.assert_allclose(fast.positions, walk.positions[::2], atol=1e-5)
    same(time_warp(walk, lambda share: share), walk)
    late = time_warp(walk, lambda share: share**2)
    assert late.num_frames == walk.num_frames
    np.testing.assert_allclose(late.positions[-1], walk.positions[-1], atol=1e-5)
    with pytest.raises(ValueError, match="never decrease"):
        time_warp(walk, lambda share: 1 - share)
    with pytest.raises(ValueError, match="the speed is 0"):
        time_warp(walk, 0)
    for beyond in (lambda share: 3 * share, lambda share: share - 0.5):
        with pytest.raises(ValueError, match="0 to 1"):
            time_warp(walk, beyond)


@pytest.mark.parametrize("number", [np.inf, np.nan, -1.0])
def test_times_that_are_none_are_refused(walk, number):
    with pytest.raises(ValueError, match="frame_time is"):
        resample(walk, number)
    with pytest.raises(ValueError, match="the speed is"):
        time_warp(walk, number)
    with pytest.raises(InputError, match="the fade is"):
        blend(walk, walk, number)
    if number != -1.0:
        with pytest.raises(InputError, match="give finite seconds"):
            crop(walk, 0.0, number)
    with pytest.raises(InputError, match="make no motion"):
        generate_motion("walk", seconds=number)
    with pytest.raises(InputError, match="seed is -3"):
        generate_motion("walk", -3)


def test_a_blend_begins_as_one_and_ends_as_the_other(walk, dance):
    joined = blend(walk, dance, 0.5)
    count = round(0.5 / float(walk.frame_time))
    assert joined.num_frames == walk.num_frames + dance.num_frames - count - 1
    np.testing.assert_allclose(
        joined.positions[: -dance.num_frames], walk.positions[: -count - 1], atol=1e-5
    )
    same_pose = quat_angle_between(joined.rotations[-30:, 1:], dance.rotations[-30:, 1:])
    assert same_pose.max() < 1e-3
    speed = np.linalg.norm(np.diff(joined.root_position, axis=0), axis=1)
    assert speed.max() < 1.5 * max(
        np.linalg.norm(np.diff(m.root_position, axis=0), axis=1).max() for m in (walk, dance)
    )


def test_blends_that_cannot_be_are_refused(walk, dance):
    with pytest.raises(InputError, match="less than the fade of 9 s"):
        blend(walk, dance, 9.0)
    other = walk.replace(names=tuple(name.upper() for name in walk.names))
    with pytest.raises(InputError, match="different skeletons"):
        blend(walk, other, 0.2)


def test_cutting(walk):
    part = crop(walk, 0.5, 1.0)
    np.testing.assert_allclose(part.positions, walk.positions[15:31], atol=1e-6)
    with pytest.raises(InputError, match="has no frame from 5 to 6 s"):
        crop(walk, 5.0, 6.0)
