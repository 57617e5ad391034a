"""Other motions from a motion: resampled, cut, unrolled, mirrored, warped in time, blended.

Everything derived (positions, velocities, contacts) is computed anew afterwards, on the host in
float64.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from jaxrl_envs.retarget.motion.record import Motion, rebuild, same_skeleton
from jaxrl_rewards.core import InputError, require
from jaxrl_rewards.core.rotations import (
    heading_yaw,
    quat_conjugate,
    quat_from_rotvec,
    quat_from_yaw,
    quat_multiply,
    quat_rotate,
    quat_slerp,
    quat_to_rotvec,
)


def sample_frames(
    motion: Motion, times: Float[np.ndarray, "times"]
) -> tuple[Float[np.ndarray, "times joints 4"], Float[np.ndarray, "times 3"]]:
    """Rotations (spherical interpolation) and root positions (linear) at times in seconds.

    Times before the first or after the last frame give that frame.
    """
    place = np.clip(np.asarray(times, np.float64) / float(motion.frame_time), 0.0, None)
    place = np.minimum(place, motion.num_frames - 1)
    first = np.minimum(place.astype(int), max(motion.num_frames - 2, 0))
    second = np.minimum(first + 1, motion.num_frames - 1)
    share = place - first
    turns = np.asarray(motion.rotations, np.float64)
    root = np.asarray(motion.root_position, np.float64)
    rotations = quat_slerp(turns[first], turns[second], share[:, None])
    return rotations, root[first] + share[:, None] * (root[second] - root[first])


def resample(motion: Motion, frame_time: float) -> Motion:
    """The motion at another frame time in seconds, from the first frame to the last.

    A looping motion keeps its period: `frame_time` is then rounded so that it fits in a whole
    number of times. ValueError for a frame time that is not positive and finite.
    """
    require(0 < frame_time < np.inf, f"frame_time is {frame_time}; give finite seconds above 0")
    duration = motion.duration
    # Frame times are float32: half a thousandth of a frame must not cost the last one.
    steps = int(np.floor(duration / frame_time + 5e-4))
    if motion.loop and duration > 0:
        steps = max(round(duration / frame_time), 1)
        frame_time = duration / steps
    rotations, root = sample_frames(motion, np.arange(steps + 1) * frame_time)
    return rebuild(motion, rotations=rotations, root_position=root, frame_time=frame_time)


def crop(motion: Motion, start: float, stop: float) -> Motion:
    """The part from `start` to `stop` seconds, without loop.

    InputError where no frame lies between them or one is not a number.
    """
    step = float(motion.frame_time)
    if not (np.isfinite(start) and np.isfinite(stop)):
        raise InputError(f"{motion.name}: cut from {start} to {stop} s; give finite seconds")
    first, last = int(np.ceil(start / step - 1e-3)), int(np.floor(stop / step + 1e-3))
    first, last = max(first, 0), min(last, motion.num_frames - 1)
    if last < first:
        raise InputError(
            f"{motion.name} lasts {motion.duration:g} s and has no frame from {start:g} to "
            f"{stop:g} s; choose times within it"
        )
    part = slice(first, last + 1)
    return rebuild(
        motion,
        rotations=motion.rotations[part],
        root_position=motion.root_position[part],
        loop=False,
    )


def close_loop(motion: Motion) -> Motion:
    """A looping motion whose last frame is its first but for the planar way between them.

    The gap is spread evenly over all frames, so that nothing jumps at the seam.
    """
    turns = np.asarray(motion.rotations, np.float64)
    root = np.asarray(motion.root_position, np.float64).copy()
    share = np.linspace(0.0, 1.0, motion.num_frames)
    gap = quat_to_rotvec(quat_multiply(quat_conjugate(turns[-1]), turns[0]))
    closed = quat_multiply(turns, quat_from_rotvec(share[:, None, None] * gap))
    root[:, 2] += share * (root[0, 2] - root[-1, 2])
    return rebuild(motion, rotations=closed, root_position=root, loop=True)


def unroll(motion: Motion, seconds: float) -> Motion:
    """A looping motion repeated until it lasts at least `seconds`, each turn ahead of the last.

    The loop is closed first (`close_loop`). A motion that does not loop is returned as it is.
    """
    if not motion.loop or motion.num_frames < 2:
        return motion
    motion = close_loop(motion)
    turns = max(int(np.ceil(seconds / motion.duration - 1e-6)), 1)
    root = np.asarray(motion.root_position, np.float64)
    way = (root[-1] - root[0]) * np.array([1.0, 1.0, 0.0])
    rotations = [motion.rotations[:-1]] * turns + [motion.rotations[-1:]]
    places = [root[:-1] + turn * way for turn in range(turns)]
    return rebuild(
        motion,
        rotations=np.concatenate(rotations),
        root_position=np.concatenate([*places, root[-1:] + (turns - 1) * way]),
        loop=False,
    )


def mirror(motion: Motion) -> Motion:
    """The motion as seen in a mirror through the x-z plane: left and right change places.

    Joints are paired by their names (left/right, L/R at either end); those without a partner are
    their own. The skeleton is mirrored with them. Twice gives the motion back.
    """
    partner = _partners(motion.names)
    flip = np.array([1.0, -1.0, 1.0])
    turns = np.asarray(motion.rotations, np.float64)[:, partner] * [1.0, -1.0, 1.0, -1.0]
    parents = tuple(
        -1 if motion.parents[other] < 0 else partner[motion.parents[other]] for other in partner
    )
    if parents != motion.parents:
        raise InputError(
            f"{motion.name}: left and right side have different joints, so it cannot be mirrored; "
            "remove what one side lacks"
        )
    return rebuild(
        motion,
        rotations=turns,
        root_position=np.asarray(motion.root_position, np.float64) * flip,
        offsets=np.asarray(motion.offsets, np.float64)[partner] * flip,
    )


def _partners(names: tuple[str, ...]) -> list[int]:
    index = {name: number for number, name in enumerate(names)}
    pairs = [("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT")]
    partners = []
    for number, name in enumerate(names):
        options = [name.replace(a, b) for one in pairs for a, b in (one, one[::-1]) if a in name]
        for one, other in (("L", "R"), ("R", "L"), ("l", "r"), ("r", "l")):
            options += [other + name[1:]] if name.startswith(one) else []
            options += (
                [name[:-2] + name[-2] + other] if name.endswith((f"_{one}", f".{one}")) else []
            )
        partners.append(next((index[option] for option in options if option in index), number))
    return [p if partners[p] == number else number for number, p in enumerate(partners)]


def time_warp(motion: Motion, warp: float | Callable[[np.ndarray], np.ndarray]) -> Motion:
    """The motion at another tempo, at the same frame time.

    `warp` is a speed (2.0 is twice as fast), or a function from the share of the new duration
    (0 to 1) to the share of the old (0 to 1) that never decreases, with the old duration kept.
    ValueError for a speed that is not positive and finite, or a function that turns back or leaves
    0 to 1.
    """
    if callable(warp):
        shares = np.linspace(0.0, 1.0, motion.num_frames)
        warped = np.asarray(warp(shares), np.float64)
        require(
            warped.shape == shares.shape
            and bool((np.diff(warped) >= 0).all() and warped[0] >= 0 and warped[-1] <= 1 + 1e-9),
            f"{motion.name}: the warp must give one share (0 to 1) per share and never decrease",
        )
    else:
        require(0 < warp < np.inf, f"the speed is {warp}; give a finite number above 0")
        steps = max(round((motion.num_frames - 1) / float(warp)), 1)
        warped = np.linspace(0.0, 1.0, steps + 1)
    rotations, root = sample_frames(motion, warped * motion.duration)
    return rebuild(motion, rotations=rotations, root_position=root)


def blend(first: Motion, second: Motion, seconds: float) -> Motion:
    """`first`, then `second`, faded into each other over the given seconds.

    The second is turned about z and moved on the ground so that its root goes on where the first
    one's was when the fade began. Both need the same skeleton; frame times may differ, the
    first's counts. InputError where skeletons differ, a motion is shorter than the fade, or the
    fade is not a finite time above 0.
    """
    if not 0 < seconds < np.inf:
        raise InputError(f"the fade is {seconds} s; give finite seconds above 0")
    if not same_skeleton(first, second):
        raise InputError(
            f"{first.name} and {second.name} have different skeletons and cannot be blended; "
            "use motions of one source"
        )
    second = resample(second.replace(loop=False), float(first.frame_time))
    count = max(round(seconds / float(first.frame_time)), 1)
    for motion in (first, second):
        if motion.num_frames <= count:
            raise InputError(
                f"{motion.name} lasts {motion.duration:g} s, less than the fade of {seconds:g} s; "
                "shorten the fade"
            )
    turns, root = _placed_after(first, second, first.num_frames - 1 - count)
    share = np.linspace(0.0, 1.0, count + 1)
    share = share * share * (3.0 - 2.0 * share)
    tail, head = slice(first.num_frames - 1 - count, None), slice(0, count + 1)
    old_turns = np.asarray(first.rotations, np.float64)
    old_root = np.asarray(first.root_position, np.float64)
    fade = quat_slerp(old_turns[tail], turns[head], share[:, None])
    between = old_root[tail] + share[:, None] * (root[head] - old_root[tail])
    start = first.num_frames - 1 - count
    return rebuild(
        first,
        rotations=np.concatenate([old_turns[:start], fade, turns[count + 1 :]]),
        root_position=np.concatenate([old_root[:start], between, root[count + 1 :]]),
        loop=False,
        name=f"{first.name}+{second.name}",
    )


def _placed_after(first: Motion, second: Motion, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and root of `second`, its start where `first` stands in `frame`, same heading."""
    turns = np.asarray(second.rotations, np.float64).copy()
    root = np.asarray(second.root_position, np.float64)
    there = np.asarray(first.root_position[frame], np.float64)
    yaw = heading_yaw(np.asarray(first.rotations[frame, 0], np.float64)) - heading_yaw(turns[0, 0])
    turn = quat_from_yaw(yaw)
    turns[:, 0] = quat_multiply(turn, turns[:, 0])
    moved = quat_rotate(turn, root - root[0] * [1.0, 1.0, 0.0])
    return turns, moved + there * [1.0, 1.0, 0.0]
