"""Small files of every format, written for tests."""

from __future__ import annotations

import json

import numpy as np

# Hips, a leg each, spine with arms; channel orders differ inside the file, as real ones do.
LIMB = """{pad}JOINT {name}
{pad}{{
{pad}OFFSET {offset}
{pad}CHANNELS 3 {order}
{inside}{pad}}}
"""
END = "{pad}End Site\n{pad}{{\n{pad}OFFSET {offset}\n{pad}}}\n"
ZYX = "Zrotation Yrotation Xrotation"
ZXY = "Zrotation Xrotation Yrotation"


def _limb(names, offsets, order, end):
    text = END.format(pad=" ", offset=end)
    for name, offset in reversed(list(zip(names, offsets, strict=True))):
        text = LIMB.format(pad=" ", name=name, offset=offset, order=order, inside=text)
    return text


def bvh_text(
    frames=None, *, frame_time="0.0083333", size=1.0, root="Xposition Yposition Zposition"
):
    """A person of 1.7 m times `size`, y up, arms hanging; `frames` rows of 6 + 3 · 15 numbers."""

    def scaled(*numbers):
        return " ".join(f"{size * number:.6f}" for number in numbers)

    legs = "".join(
        _limb(
            [f"{side}Hip", f"{side}Knee", f"{side}Ankle", f"{side}Toe"],
            [scaled(sign * 0.09, -0.05, 0), scaled(0, -0.42, 0), scaled(0, -0.41, 0),
             scaled(0, -0.04, 0.14)],
            ZYX,
            scaled(0, 0, 0.05),
        )
        for side, sign in (("Left", 1), ("Right", -1))
    )  # fmt: skip
    arms = "".join(
        _limb(
            [f"{side}Shoulder", f"{side}Elbow", f"{side}Wrist"],
            [scaled(sign * 0.19, 0.37, 0), scaled(0, -0.28, 0), scaled(0, -0.26, 0)],
            ZXY,
            scaled(0, -0.1, 0),
        )
        for side, sign in (("Left", 1), ("Right", -1))
    )
    head = _limb(["Neck", "Head"], [scaled(0, 0.4, 0), scaled(0, 0.1, 0)], ZYX, scaled(0, 0.15, 0))
    chest = LIMB.format(
        pad="", name="Chest", offset=scaled(0, 0.1, 0), order=ZYX, inside=head + arms
    )
    if frames is None:
        frames = walk_rows(size=size)
    rows = "\n".join(" ".join(f"{x:.6f}" for x in row) for row in frames)
    return (
        f"HIERARCHY\nROOT Hips\n{{\nOFFSET 0 0 0\nCHANNELS 6 {root} {ZYX}\n{legs}{chest}}}\n"
        f"MOTION\nFrames: {len(frames)}\nFrame Time: {frame_time}\n{rows}\n"
    )


def walk_rows(count=12, size=1.0):
    """Rows of numbers in degrees that swing gently."""
    generator = np.random.default_rng(0)
    rows = np.zeros((count, 6 + 3 * 17))
    phase = np.linspace(0, 2, count)[:, None] + generator.uniform(0, 6, rows.shape[1])
    rows[:] = 12.0 * np.sin(phase)
    rows[:, :3] = size * np.stack([0.1 * phase[:, 0], 0.95 + 0 * phase[:, 0], phase[:, 1]], axis=1)
    return rows


def deepmimic_content(count=8, loop="wrap"):
    """A DeepMimic humanoid that bends its knees and elbows and moves ahead."""
    rows = []
    for frame in range(count):
        share = frame / max(count - 1, 1)
        bend = 0.3 * np.sin(np.pi * share)
        still = [1.0, 0.0, 0.0, 0.0]
        turned = [float(np.cos(bend / 2)), 0.0, 0.0, float(np.sin(bend / 2))]
        leg = [*turned, -2 * bend, *turned]
        arm = [*still, bend]
        rows.append([1 / 30, share, 0.85, 0.0, *still, *still, *still, *leg, *arm, *leg, *arm])
    return {"Loop": loop, "Frames": rows}


def deepmimic_text(**options):
    return json.dumps(deepmimic_content(**options))


def amass_arrays(count=6, rate_key="mocap_framerate"):
    """Standing upright in the T pose, z up, with bent left elbow."""
    poses = np.zeros((count, 156))
    poses[:, 0] = np.pi / 2
    poses[:, 3 * 18 + 1] = -0.5  # left elbow about SMPL's y: ahead
    trans = np.zeros((count, 3))
    trans[:, 0] = np.arange(count) * 0.01
    return {
        "poses": poses,
        "trans": trans,
        rate_key: np.array(120.0),
        "gender": np.array("neutral"),
    }
