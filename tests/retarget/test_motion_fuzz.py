"""Mutated motion files: a reader either succeeds, in finite numbers, or raises InputError.

`JAXRL_REWARDS_FUZZ` sets the number of mutations of the slow test.
"""

import io
import json
import os
import random
import time

import numpy as np
import pytest
from jaxrl_envs.retarget.motion import generate_motion, human_pose, load_motion, write_bvh
from motion_files import amass_arrays, bvh_text, deepmimic_content, walk_rows

from jaxrl_rewards.core import InputError

NASTY = [
    b"nan", b"inf", b"-1", b"1e309", b"0", b"{", b"}", b"", b"\x00", b"\xff", b"JOINT a",
    b"9999999",
    b"End Site", b"CHANNELS 0", b"OFFSET 1 2 3", b"null", b"[]", b"MOTION", b"-0.0", b"1_0", b"0x1",
    "Ⅷ".encode(), "٣".encode(), b"CHANNELS 6 Xposition Yposition Zposition", b"\r", b"\x0c",
]  # fmt: skip


def seeds(folder):
    """Small correct files, as (suffix, bytes)."""
    write_bvh(generate_motion("walk", 0, seconds=0.2), folder / "seed.bvh")
    packed = io.BytesIO()
    np.savez(packed, **amass_arrays(count=3))
    squeezed = io.BytesIO()
    np.savez_compressed(squeezed, **amass_arrays(count=3))
    return [
        (".bvh", bvh_text(walk_rows(3)).encode()),
        (".bvh", (folder / "seed.bvh").read_bytes()),
        (".txt", json.dumps(deepmimic_content(count=3)).encode()),
        (".npz", packed.getvalue()),
        (".npz", squeezed.getvalue()),
    ]


def mutate(data, rng):
    """One to four cuts, repeats, swaps of words or bytes, or nasty words put in."""
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        kind = rng.choice([0, 1, 2, 3, 4, 4, 5, 6, 7, 7, 7, 7])
        start = rng.randrange(len(data) + 1)
        stop = min(len(data), start + rng.choice([1, 2, 8, 40, 400]))
        if kind == 0:
            del data[start:stop]
        elif kind == 1:
            data[start:start] = data[start:stop]
        elif kind == 2 and start < len(data):
            data[start] = rng.randrange(256)
        elif kind == 3:
            data[start:start] = b" " + rng.choice(NASTY) + b" "
        elif kind == 4:
            # A whole word replaced: numbers and keywords of text formats.
            words = bytes(data).split(b" ")
            words[rng.randrange(len(words))] = rng.choice(NASTY)
            data = bytearray(b" ".join(words))
        elif kind == 5:
            lines = bytes(data).split(b"\n")
            one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[one], lines[other] = lines[other], lines[one]
            data = bytearray(b"\n".join(lines))
        elif kind == 6:
            del data[start:]
        else:
            # Another digit: the form stays, the values change.
            digits = [n for n, byte in enumerate(data) if 48 <= byte <= 57]
            for place in rng.sample(digits, min(3, len(digits))):
                data[place] = rng.randrange(48, 58)
    return bytes(data)


def mutate_arrays(rng):
    """An archive whose form is right and whose arrays are not."""
    arrays = amass_arrays(count=3)
    for _ in range(rng.choice([1, 1, 2])):
        key = rng.choice(["poses", "trans", "mocap_framerate"])
        if key not in arrays or arrays[key].dtype.kind != "f" or not arrays[key].size:
            continue
        values = np.array(arrays[key])
        kind = rng.randrange(6)
        if kind == 0:
            del arrays[key]
        elif kind == 1:
            value = rng.choice([np.nan, np.inf, 1e3, 1e300, -1.0, 0.0, 1e-320])
            with np.errstate(over="ignore"):
                values.reshape(-1)[rng.randrange(values.size)] = value
            arrays[key] = values
        elif kind == 2:
            arrays[key] = values.reshape(-1)[: rng.randrange(values.size + 1)]
        elif kind == 3:
            with np.errstate(invalid="ignore", over="ignore"):
                arrays[key] = values.astype(rng.choice(["f2", "f4", "i1", "c8", "S5", "?", "U3"]))
        elif kind == 4:
            arrays[key] = values[None] if rng.random() < 0.5 else values.T
        else:
            arrays[key] = values + rng.gauss(0.0, 2.0)
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return packed.getvalue()


def fuzz(folder, count, seed):
    """Reads `count` mutations; returns how many were read and how many refused."""
    rng = random.Random(seed)
    originals = seeds(folder)
    read = refused = 0
    slowest = 0.0
    for number in range(count):
        suffix, data = originals[number % len(originals)]
        path = folder / f"mutant{suffix}"
        inside = suffix == ".npz" and rng.random() < 0.7
        path.write_bytes(mutate_arrays(rng) if inside else mutate(data, rng))
        begun = time.process_time()
        try:
            motion = load_motion(path)
        except InputError as error:
            assert "mutant" in str(error) and "\n" not in str(error), str(error)
            refused += 1
        else:
            for field in ("rotations", "positions", "velocities", "sole_heights"):
                assert np.isfinite(getattr(motion, field)).all(), path.read_bytes()[:2000]
            try:
                assert np.isfinite(human_pose(motion).human_q).all()
            except InputError:
                refused += 1
            else:
                read += 1
        slowest = max(slowest, time.process_time() - begun)
    return read, refused, slowest


def test_a_few_mutations(tmp_path):
    read, refused, _ = fuzz(tmp_path, 60, seed=0)
    assert read > 3 and refused > 20


@pytest.mark.slow
def test_many_mutations(tmp_path):
    count = int(os.environ.get("JAXRL_REWARDS_FUZZ", "400"))
    read, refused, slowest = fuzz(tmp_path, count, seed=1)
    assert read > count / 50 and refused > count / 5
    assert slowest < 20.0, "a reader hung"


def test_a_deep_hierarchy_is_refused_without_a_crash(tmp_path):
    deep = "".join(f"JOINT j{n}\n{{\nOFFSET 0 1 0\nCHANNELS 0\n" for n in range(5000))
    text = f"HIERARCHY\nROOT r\n{{\nOFFSET 0 0 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n{deep}"
    (tmp_path / "deep.bvh").write_text(text + "}" * 5001 + "\nMOTION\n")
    with pytest.raises(InputError, match="more than 2000 joints"):
        load_motion(tmp_path / "deep.bvh")
    (tmp_path / "deep.txt").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is not valid JSON"):
        load_motion(tmp_path / "deep.txt")
