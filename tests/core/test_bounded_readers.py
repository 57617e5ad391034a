"""Readers of `.npz` and JSON from outside: whole, damaged, hostile; within a limit of memory."""

import io
import json
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.json_files import parse_json, read_json
from jaxrl_rewards.core.jsonl import read_jsonl
from jaxrl_rewards.core.npz import read_npz

ARRAYS = {
    "poses": np.arange(60.0).reshape(10, 6),
    "f": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    "flags": np.array([True, False]),
    "one": np.float32(3.5),
    "none": np.zeros((0, 4)),
    "text": np.array(["ab", "c"]),
}
HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (10, 66), }"


def packed(save=np.savez, **arrays) -> bytes:
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def entry(header: str, data: bytes = b"", length: int | None = None) -> bytes:
    """One `.npy` entry with any header."""
    text = header.encode("latin1")
    size = len(text) if length is None else length
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", size) + text + data


def archive(path, content: bytes, method=zipfile.ZIP_STORED, name="poses.npy"):
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(name, content)
    return path


def refused(call, *words):
    """The one sentence with which a call ends."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    for word in words:
        assert word in message
    return message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_numpy_reads_them(tmp_path, save):
    path = tmp_path / "whole.npz"
    path.write_bytes(packed(save, **ARRAYS))
    found = read_npz(path)
    assert found.keys() == ARRAYS.keys()
    for name, value in np.load(path).items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape
        assert np.array_equal(found[name], value) and found[name].flags.writeable
    assert read_npz(path, ["one"], optional=["flags", "other"]).keys() == {"one", "flags"}
    refused(lambda: read_npz(path, ["other"]), "has no array 'other'", "flags")


def test_what_is_not_asked_for_is_not_unpacked(tmp_path):
    path = tmp_path / "mixed.npz"
    path.write_bytes(packed(objects=np.array([{}], object), good=np.ones(3)))
    assert read_npz(path, ["good"])["good"].sum() == 3.0
    refused(lambda: read_npz(path), "'|O'", "numpy.savez")


@pytest.mark.parametrize(
    "content",
    [
        entry(HEADER[:-2]),  # the closing brace is lost: NumPy lets TokenError escape
        b"not npy",
        entry(HEADER, b"\0" * 80),
        entry(HEADER.replace("(10, 66)", "(10 ** 30,)")),
        entry(HEADER.replace("(10, 66)", "(-1,)")),
        entry(HEADER.replace("(10, 66)", f"(0, {2**61}, {2**61})")),
        entry(HEADER.replace("(10, 66)", "(True,)"), b"\0" * 8),
        entry(HEADER.replace("(10, 66)", "10"), b"\0" * 80),
        entry(HEADER.replace("<f8", "|O"), b"\0" * 5280),
        entry(HEADER.replace("'<f8'", "[('a', '<f8')]"), b"\0" * 5280),
        entry(HEADER.replace("<f8", "<f7"), b"\0" * 5280),
        entry("[" * 9000 + "]" * 9000),
        entry("(" * 90 + ")" * 90),
        entry(HEADER, length=65000),
        entry("1"),
        b"\x93NUMPY\x07\x00" + b"\0" * 200,
        b"",
    ],
)
def test_hostile_entries_get_one_sentence(tmp_path, content):
    path = archive(tmp_path / "bad.npz", content)
    refused(lambda: read_npz(path), "bad.npz", "cannot be read")


def test_what_is_no_archive_gets_one_sentence(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "single.npy", np.ones(3))
    os.mkfifo(tmp_path / "pipe.npz")
    for name in ("text.npz", "empty.npz", "single.npy", "pipe.npz", "none.npz", "."):
        refused(lambda name=name: read_npz(tmp_path / name), "cannot be read")
    refused(lambda: read_npz("nul\0.npz"), "cannot be read")
    path = archive(tmp_path / "lzma.npz", entry(HEADER, b"\0" * 5280), zipfile.ZIP_LZMA)
    refused(lambda: read_npz(path), "packed in a way that NumPy does not write")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    size = 3 << 20
    header = HEADER.replace("(10, 66)", f"({size // 8},)")
    path = archive(tmp_path / "bomb.npz", entry(header, b"\0" * size), zipfile.ZIP_DEFLATED)
    assert len(read_npz(path)["poses"]) == size // 8
    tracemalloc.start()
    refused(lambda: read_npz(path, limit_bytes=1 << 20), f"unpacks to {size} bytes", "fewer")
    lying = path.read_bytes().replace(struct.pack("<I", size + 10 + len(header)), b"\x90\x15\0\0")
    (tmp_path / "lies.npz").write_bytes(lying)
    refused(lambda: read_npz(tmp_path / "lies.npz"), "disagrees with its size")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def mutant(generator: np.random.Generator, content: bytes) -> bytes:
    """Bytes changed, cut, doubled or put elsewhere, in one to four places."""
    data = bytearray(content)
    for _ in range(generator.integers(1, 5)):
        place, other = sorted(generator.integers(0, len(data) + 1, 2))
        kind = generator.integers(5)
        if kind == 0 and place < len(data):
            data[place] = generator.integers(256)
        elif kind == 1:
            data[place : place + 4] = generator.bytes(4)
        elif kind == 2:
            del data[place : min(other, place + 40)]
        elif kind == 3:
            data[place:place] = data[place : min(other, place + 40)]
        elif generator.random() < 0.1:
            del data[place:]
    return bytes(data)


def npz_seeds() -> list[bytes]:
    small = {"poses": np.ones((2, 66)), "trans": np.zeros((2, 3)), "mocap_framerate": 30.0}
    model = {"T": np.eye(2)[:, None], "R": np.zeros((2, 1)), "init": np.eye(2)[0], "terminal": 1}
    return [packed(np.savez, **small), packed(np.savez_compressed, **small), packed(**model)]


def try_npz(tmp_path, count: int):
    from jaxrl_envs.retarget.motion.amass import read_amass

    from jaxrl_rewards.core.tabular import load_tabular_model

    seeds, generator, path = npz_seeds(), np.random.default_rng(0), tmp_path / "mutant.npz"
    calls = [read_npz, read_amass, lambda file: load_tabular_model(file, 0.9)]
    refusals = 0
    for number in range(count):
        path.write_bytes(mutant(generator, seeds[number % len(seeds)]))
        for call in calls:
            try:
                call(path)
            except InputError as error:
                refusals += 1
                assert "\n" not in str(error)
    assert refusals > count


def json_seeds() -> list[str]:
    motion = {"Loop": "wrap", "Frames": [[0.03, 0.0, 0.9, 0.0] + [1.0, 0.0, 0.0, 0.0] * 10] * 2}
    return [json.dumps(motion), json.dumps({"roles": {"pelvis": "Hips"}, "scale": 0.01}), "[1e308]"]


def try_json(tmp_path, count: int):
    from jaxrl_envs.retarget.characters.mapping import read_mapping
    from jaxrl_envs.retarget.motion.deepmimic import read_deepmimic

    seeds, generator, path = json_seeds(), np.random.default_rng(1), tmp_path / "mutant.json"
    calls = [read_json, read_deepmimic, read_mapping, read_jsonl]
    refusals = 0
    for number in range(count):
        path.write_bytes(mutant(generator, seeds[number % len(seeds)].encode()))
        for call in calls:
            try:
                call(path)
            except InputError as error:
                refusals += 1
                assert "\n" not in str(error)
    assert refusals > count


def test_mutants_of_archives_end_in_no_traceback(tmp_path):
    try_npz(tmp_path, 300)


def test_mutants_of_json_end_in_no_traceback(tmp_path):
    try_json(tmp_path, 300)


@pytest.mark.slow
def test_many_mutants_of_archives_end_in_no_traceback(tmp_path):
    try_npz(tmp_path, 3000)


@pytest.mark.slow
def test_many_mutants_of_json_end_in_no_traceback(tmp_path):
    try_json(tmp_path, 3000)


def test_json_comes_back(tmp_path):
    path = tmp_path / "value.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5, null, "\xc3\xa4"]}')
    assert read_json(path, dict, needs=("a",)) == {"a": [1, 2.5, None, "ä"]}
    assert parse_json(b"[1]", "it", list) == [1]
    assert parse_json("[NaN]", "it", finite=False)[0] != 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "is not valid JSON (nested too deeply)"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ("Infinity", "Infinity is not finite"),
        ("[NaN]", "NaN is not finite"),
        ("[1e999]", "1e999 is not finite"),
        ("1" * 5000, "number that cannot be used"),
        ("{", "is not valid JSON (Expecting property name"),
        ("", "is not valid JSON (Expecting value"),
        ("[1]", "must be a JSON object, but holds a list"),
        ('{"b": 1}', "lacks 'a'; it needs a"),
    ],
)
def test_json_that_cannot_be_used_gets_one_sentence(tmp_path, text, words):
    refused(lambda: parse_json(text, "the file", needs=("a",)), "the file", words)
    (tmp_path / "x.json").write_text(text)
    refused(lambda: read_json(tmp_path / "x.json", needs=("a",)), "x.json", words)


def test_json_files_that_cannot_be_read_get_one_sentence(tmp_path):
    refused(lambda: read_json(tmp_path), "is a folder; give a JSON file")
    refused(lambda: read_json(tmp_path / "none.json"), "cannot be read: No such file")
    refused(lambda: read_json("nul\0.json"), "cannot be read")
    os.mkfifo(tmp_path / "pipe.json")
    refused(lambda: read_json(tmp_path / "pipe.json"), "no regular file")
    (tmp_path / "latin.json").write_bytes(b'["\xe4"]')
    refused(lambda: read_json(tmp_path / "latin.json"), "is not UTF-8 text (byte 2)")
    refused(lambda: parse_json(b'["\xe4"]', "line 3"), "line 3 is not UTF-8")
    (tmp_path / "long.json").write_text("[" + "1," * 600 + "1]")
    refused(lambda: read_json(tmp_path / "long.json", limit_bytes=1000), "more than the 1000")
    refused(lambda: parse_json("[1, 2]", "it", limit_bytes=3), "at most 3 are read")


def test_a_line_that_is_nested_too_deeply_is_named(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n' + "[" * 100_000 + "\n{}\n")
    refused(lambda: read_jsonl(tmp_path / "x.jsonl"), "line 2 is not a JSON object")
