"""Small files of every format, written for tests."""

from __future__ import annotations

import json

import numpy as np
from scipy.spatial.transform import Rotation

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


# --- one movement of a person whose joints may have any axes ----------------------------------

PLACES = {
    "Hips": (None, (0, 95, 0)),
    "LeftUpLeg": ("Hips", (10, 91, 0)), "LeftLeg": ("LeftUpLeg", (10, 48, 0)),
    "LeftFoot": ("LeftLeg", (10, 8, 0)), "LeftToeBase": ("LeftFoot", (10, 3, 15)),
    "Spine": ("Hips", (0, 102, 0)), "Spine1": ("Spine", (0, 114, 0)),
    "Spine2": ("Spine1", (0, 126, 0)), "Neck": ("Spine2", (0, 148, 0)),
    "Head": ("Neck", (0, 160, 0)), "Head.end": ("Head", (0, 178, 0)),
    "LeftShoulder": ("Spine2", (5, 142, 0)), "LeftArm": ("LeftShoulder", (17, 142, 0)),
    "LeftForeArm": ("LeftArm", (46, 142, 0)), "LeftHand": ("LeftForeArm", (72, 142, 0)),
    "LeftHand.end": ("LeftHand", (82, 142, 0)),
}  # fmt: skip
"""Of the standing person: parent and place in cm; y up, looking along z, the left is x."""


def person(*, size=(1.0, 1.0, 1.0), moved=None):
    """{joint: (parent, place)} of both sides; `moved` gives other places of some left joints."""
    places = {}
    for name, (parent, place) in PLACES.items():
        place = np.array((moved or {}).get(name, place), float) * size
        places[name] = (parent, place)
        if name.startswith("Left"):
            other = parent.replace("Left", "Right")
            places[name.replace("Left", "Right")] = (other, place * [-1, 1, 1])
    return places


PEOPLE = {
    "straight": person(),
    "tall": person(size=(1.25, 1.12, 1.0)),
    "leaning": person(
        size=(0.8, 0.85, 0.85),
        moved={"Neck": (0, 148, -4), "Spine": (0, 102, -3), "LeftToeBase": (13, 3, 15)},
    ),
}


def person_movement(places, frames=30, *, sits=False):
    """World rotations away from standing: turns left, nods, left arm ahead, right knee up."""
    share = np.linspace(0, 1, frames)
    bump = np.sin(np.pi * share)
    local = {
        "Hips": ("y", 40 * share), "Neck": ("x", 30 * bump), "LeftArm": ("y", -70 * bump),
        "LeftForeArm": ("y", -60 * bump), "RightUpLeg": ("x", -60 * bump),
        "RightLeg": ("x", 70 * bump),
    }  # fmt: skip
    if sits:
        seat = {"UpLeg": ("x", -90 + 0 * share), "Leg": ("x", 90 + 5 * bump)}
        local |= {side + part: bent for side in ("Left", "Right") for part, bent in seat.items()}
        share = 0 * share
    world = {}
    for name, (parent, _) in places.items():
        axis, angles = local.get(name, ("x", 0 * share))
        own = Rotation.from_euler(axis, angles[:, None], degrees=True)
        world[name] = own if parent is None else world[parent] * own
    return world, places["Hips"][1] + 30 * share[:, None] * [0, 0, 1]


def person_bvh(places, axes=None, *, rename=lambda name: name, in_channels=False, above=False,
               turn=None, sits=False):  # fmt: skip
    """The movement as BVH; `axes` are each joint's own in standing, the world's by default.

    `in_channels`: offsets are 0 and stand in position channels. `above`: a fixed root above the
    hips. `turn`: of the whole world, for another up axis. `sits`: on a chair all the time.
    """
    axes = axes or {}
    still = Rotation.identity()
    world, root = person_movement(places, sits=sits)
    if turn is not None:
        world, root = {n: turn * w for n, w in world.items()}, turn.apply(root)
    text, columns = [], []

    def row(numbers):
        return "OFFSET " + " ".join(f"{x:.7f}" for x in numbers)

    def write(name):
        parent, place = places[name]
        own = axes.get(parent, still)
        step = np.zeros(3) if parent is None else own.inv().apply(place - places[parent][1])
        if name.endswith(".end"):
            text.extend(["End Site", "{", row(step), "}"])
            return
        carries = in_channels and parent is not None
        kind = "ROOT" if parent is None and not above else "JOINT"
        text.extend([f"{kind} {rename(name)}", "{", row(0 * step if carries else step)])
        turned = world[name] * axes.get(name, still)
        if parent is not None:
            turned = (world[parent] * own).inv() * turned
        if parent is None or carries:
            text.append("CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation")
            columns.append(root if parent is None else np.tile(step, (len(root), 1)))
        else:
            text.append("CHANNELS 3 Zrotation Xrotation Yrotation")
        columns.append(turned.as_euler("ZXY", degrees=True))
        for child in [n for n, (carrier, _) in places.items() if carrier == name]:
            write(child)
        text.append("}")

    write("Hips")
    if above:
        text[:0] = [
            "ROOT Reference",
            "{",
            "OFFSET 0 0 0",
            "CHANNELS 3 Xrotation Yrotation Zrotation",
        ]
        text.append("}")
        columns.insert(0, np.zeros((len(root), 3)))
    rows = [" ".join(f"{x:.7f}" for x in line) for line in np.concatenate(columns, axis=1)]
    text = ["HIERARCHY", *text, "MOTION", f"Frames: {len(rows)}", "Frame Time: 0.033333", *rows]
    return "\n".join(text) + "\n"
