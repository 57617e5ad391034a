"""Mutated annotation files and images: a reader either succeeds or raises InputError."""

import copy
import json
import random
from io import BytesIO

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jaxrl_envs.gui.screenspot import load_screenspot
from jaxrl_envs.gui.screenspot_images import decode_image_bytes, encode_png
from PIL import Image

from jaxrl_rewards.core.errors import InputError

SIZE = (24, 16)
V1_ROWS = [
    {
        "img_filename": f"{name}.png",
        "bbox": [14, 9, 6.5, 4],
        "instruction": f"press {name}",
        "data_type": kind,
        "data_source": "web",
    }
    for name, kind in (("a", "text"), ("b", "icon"), ("a", "text"))
]
PRO_ROWS = [
    {
        "img_filename": "a.png",
        "bbox": [4, 5, 20, 15],
        "img_size": list(SIZE),
        "instruction": "run",
        "instruction_cn": "运行",
        "id": "x_1",
        "application": "x",
        "platform": "linux",
        "ui_type": "icon",
        "group": "Dev",
    }
]
TRAINING_ROWS = [
    {
        "image_path": "a.png",
        "instruction": "go",
        "height": SIZE[1],
        "width": SIZE[0],
        "rela_box": [0.5, 0.5, 0.75, 0.75],
        "abs_box": [12, 8, 18, 12],
    }
]
SEEDS = {
    "screenspot_web.json": json.dumps(V1_ROWS).encode(),
    "x.json": json.dumps(PRO_ROWS, ensure_ascii=False).encode(),
    "rows.jsonl": b"\n".join(json.dumps(row).encode() for row in TRAINING_ROWS * 2),
    "list.yaml": b"datasets:\n  - json_path: good.jsonl\n    sampling_strategy: random:50%\n",
}
NASTY = [
    None,
    True,
    False,
    0,
    -1,
    1,
    0.5,
    1e308,
    -1e308,
    5e-324,
    10**400,
    -(2**63),
    float("nan"),
    float("inf"),
    "",
    " ",
    "a.png",
    "../a.png",
    "/",
    "..",
    "a.png/",
    "./a.png",
    "x" * 3000,
    "\0",
    "\ud800",
    "\n",
    "xywh",
    "xyxy_normalised",
    [],
    {},
    [[]],
    [1, 2, 3, 4],
    [0, 0, 24, 16],
    [0.1, 0.2, 0.9, 0.8],
    [20, 10, 4, 2],
    [1, 2, 3, 4, 5],
    ["1", 2, 3, 4],
    {"bbox": [1, 2, 3, 4]},
    [[[[[[[[]]]]]]]],
]


def png(name: str) -> bytes:
    pixels = np.random.default_rng(len(name)).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    return encode_png(pixels)


def jpeg() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", SIZE, (200, 30, 60)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("fuzz")
    (place / "a.png").write_bytes(png("a"))
    (place / "b.png").write_bytes(png("b"))
    (place / "good.jsonl").write_bytes(SEEDS["rows.jsonl"])
    return place


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def attempt(folder, name, data):
    """Load one file strictly and leniently; return how many of the two loads succeeded."""
    path = folder / name
    path.write_bytes(data)
    before = snapshot(folder)
    successes = 0
    try:
        for strict in (True, False):
            try:
                shots = load_screenspot(path, strict=strict)
            except InputError as error:
                assert str(error).isprintable()
                assert len(str(error)) < 2000
                continue
            successes += 1
            for record in shots.records:
                x1, y1, x2, y2 = record.box
                width, height = record.image_size
                assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
                assert shots.image(record).shape == (height, width, 3)
                assert record.image_path.resolve().is_relative_to(folder.resolve())
                assert record.instruction.strip()
            assert not (strict and shots.problems)
        assert snapshot(folder) == before
    finally:
        path.unlink()
    return successes


def mutate_bytes(data: bytes, generator: random.Random) -> bytes:
    """Apply one to four random edits: flips, cuts, copies, splices of JSON fragments."""
    data = bytearray(data)
    tokens = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\u0000", b"NaN", b"-", b"e999", b"null"]
    tokens += [b"Infinity", b"\xff", b"\xef\xbb\xbf", b"9" * 400, b"[" * 2000, b"\n", b"true", b"%"]
    for _ in range(generator.randint(1, 4)):
        at, to = sorted(generator.randrange(len(data) + 1) for _ in range(2))
        kind = generator.randrange(6)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << generator.randrange(8)
        elif kind == 1:
            del data[at : min(to, at + 12)]
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            data[at:at] = data[at : min(to, at + 60)]
        elif kind == 4:
            data[at:at] = generator.choice(tokens)
        else:
            data[at : at + 1] = generator.choice(tokens)
    return bytes(data)


def mutate_rows(rows: list, generator: random.Random) -> list:
    """Replace, drop, copy or rename one to three values anywhere in the records."""
    rows = json.loads(json.dumps(rows))
    keys = sorted({key for row in V1_ROWS + PRO_ROWS + TRAINING_ROWS for key in row})
    keys += ["bbox_format"]

    def nasty():
        return copy.deepcopy(generator.choice(NASTY))

    for _ in range(generator.randint(1, 3)):
        index = generator.randrange(len(rows))
        row = rows[index]
        kind = generator.randrange(6)
        if kind == 0 or not isinstance(row, dict) or not row:
            rows[index] = generator.choice([nasty(), dict(V1_ROWS[0]), dict(TRAINING_ROWS[0])])
            continue
        key = generator.choice(list(row))
        if kind == 1:
            del row[key]
        elif kind == 2 and isinstance(row[key], list) and row[key]:
            row[key][generator.randrange(len(row[key]))] = nasty()
        elif kind == 3:
            row[generator.choice(keys)] = nasty()
        elif kind == 4:
            row[key] = copy.deepcopy(row[generator.choice(list(row))])
        else:
            row[key] = nasty()
    return rows


def encode_rows(name: str, rows: list) -> bytes:
    if name.endswith(".jsonl"):
        return "\n".join(map(json.dumps, rows)).encode()
    return json.dumps(rows).encode()


ROWS = {"screenspot_web.json": V1_ROWS, "x.json": PRO_ROWS, "rows.jsonl": TRAINING_ROWS * 2}


@pytest.mark.parametrize("name", SEEDS)
def test_the_unmutated_files_load(folder, name):
    assert attempt(folder, name, SEEDS[name]) == 2


@settings(max_examples=300)
@given(st.sampled_from(sorted(SEEDS)), st.integers(0, 2**32))
def test_mutated_text(folder, name, seed):
    attempt(folder, name, mutate_bytes(SEEDS[name], random.Random(seed)))


@settings(max_examples=300)
@given(st.sampled_from(sorted(ROWS)), st.integers(0, 2**32))
def test_mutated_records(folder, name, seed):
    attempt(folder, name, encode_rows(name, mutate_rows(ROWS[name], random.Random(seed))))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=5) | st.dictionaries(st.text(max_size=12), children, max_size=5)
    ),
    max_leaves=20,
)


@settings(max_examples=200)
@given(st.sampled_from(["screenspot_web.json", "x.json"]), JSON_VALUES)
@example("x.json", [{"img_filename": "a.png"}])
def test_any_json(folder, name, value):
    attempt(folder, name, json.dumps(value).encode())


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes(folder, data):
    for name in ("x.json", "rows.jsonl", "list.yaml"):
        attempt(folder, name, data)


def attempt_image(data):
    try:
        pixels = decode_image_bytes(data, max_pixels=10_000)
    except InputError as error:
        assert str(error).isprintable()
        return False
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    return True


def fix_checksums(data: bytes) -> bytes:
    """Make the checksums of a mutated PNG right again, so that the decoder behind is reached."""
    import struct
    import zlib

    fixed, position = bytearray(data[:8]), 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        if position + 12 + length > len(data):
            break
        body = data[position + 4 : position + 8 + length]
        fixed += struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body))
        position += 12 + length
    return bytes(fixed + data[position:])


@settings(max_examples=300)
@given(st.booleans(), st.integers(0, 2**32), st.booleans())
def test_mutated_images(is_png, seed, fix):
    data = mutate_bytes(png("a") if is_png else jpeg(), random.Random(seed))
    attempt_image(fix_checksums(data) if fix and is_png else data)


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_mutated_image_in_a_folder(folder, seed):
    generator = random.Random(seed)
    good = (folder / "b.png").read_bytes()
    try:
        (folder / "b.png").write_bytes(mutate_bytes(good, generator))
        attempt(folder, "screenspot_web.json", SEEDS["screenspot_web.json"])
    finally:
        (folder / "b.png").write_bytes(good)


@settings(max_examples=50)
@given(st.integers(1, 400))
def test_every_cut_of_an_image_is_found(cut):
    for data in (png("a"), jpeg()):
        assert not attempt_image(data[: max(0, len(data) - cut)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_ten_thousand_mutations_and_more(folder, seed):
    generator = random.Random(seed)
    outcomes = [0, 0, 0]
    for _ in range(4000):
        name = generator.choice(sorted(SEEDS))
        outcomes[attempt(folder, name, mutate_bytes(SEEDS[name], generator))] += 1
        name = generator.choice(sorted(ROWS))
        outcomes[attempt(folder, name, encode_rows(name, mutate_rows(ROWS[name], generator)))] += 1
    assert sum(outcomes) == 8000
    assert min(outcomes) > 100  # refused, loaded in part, and loaded whole all occur
    decoded = 0
    for number in range(3000):
        data = mutate_bytes(png("a") if number % 2 else jpeg(), generator)
        decoded += attempt_image(fix_checksums(data) if number % 4 == 1 else data)
    assert 0 < decoded < 3000
