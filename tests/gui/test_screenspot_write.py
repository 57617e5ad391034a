"""Round trips through the writer, and what it refuses."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxrl_envs.gui.screenspot import RESERVED_KEYS, ScreenSpotRecord, load_screenspot
from jaxrl_envs.gui.screenspot_write import write_screenspot

from jaxrl_rewards.core.errors import InputError

WIDTH, HEIGHT = 40, 30


def pixels(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


NAMES = st.sampled_from(["a.png", "b.PNG", "deep/c.png", "deep/d e.png"])
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
EXTRA = st.dictionaries(
    st.text(max_size=8).filter(lambda key: key not in RESERVED_KEYS),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.lists(st.integers(), max_size=3),
    max_size=3,
)


def extents(end):
    ends = st.lists(st.integers(0, end), min_size=2, max_size=2, unique=True)
    return ends.map(sorted)


@st.composite
def record_lists(draw):
    records = []
    for _ in range(draw(st.integers(1, 6))):
        grid = draw(st.sampled_from([1, 64, 2**20]))
        x1, x2 = draw(extents(WIDTH * grid))
        y1, y2 = draw(extents(HEIGHT * grid))
        box = (x1 / grid, y1 / grid, x2 / grid, y2 / grid)
        records.append(
            ScreenSpotRecord(
                image_path=Path("unused.png"),
                image_name=draw(NAMES),
                instruction=draw(TEXT.filter(str.strip)),
                box=box,
                image_size=(WIDTH, HEIGHT),
                data_type=draw(st.sampled_from(["text", "icon", "unknown"])),
                data_source=draw(st.sampled_from(["ios", "app/2", ""])),
                platform=draw(st.sampled_from(["mobile", "desktop", "web", "macos"])),
                group=draw(TEXT),
                extra=draw(EXTRA),
            )
        )
    return records


def plain(records):
    return [dataclasses.replace(record, image_path=Path()) for record in records]


@settings(max_examples=40)
@given(record_lists(), st.sampled_from(["v1", "v2", "pro"]))
def test_round_trip_is_exact(tmp_path_factory, records, version):
    folder = tmp_path_factory.mktemp("round")
    images = {record.image_name: pixels(seed=len(record.image_name)) for record in records}
    write_screenspot(folder / "set", records, images, version=version)
    shots = load_screenspot(folder / "set")
    key = (
        (lambda r: r.data_source)
        if version == "pro"
        else (lambda r: ["mobile", "desktop", "web", "macos"].index(r.platform) // 1)
    )
    ours = sorted(plain(records), key=key)
    theirs = sorted(plain(shots.records), key=key)
    assert ours == theirs
    for record in shots.records:
        np.testing.assert_array_equal(shots.image(record), images[record.image_name])
    assert [path.name for path in folder.iterdir()] == ["set"]


def record(**changes):
    fields = {"image_path": Path("x.png"), "image_name": "a.png", "instruction": "Go"}
    fields |= {"box": (1.0, 1.0, 5.0, 5.0), "image_size": (WIDTH, HEIGHT)}
    return ScreenSpotRecord(**(fields | changes))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"box": (1.0, 1.0, 1.0, 5.0)}, "'box'"),
        ({"box": (1.0, 1.0, 50.0, 5.0)}, "'box'"),
        ({"box": (1.0, float("nan"), 5.0, 5.0)}, "'box'"),
        ({"data_type": "picture"}, "'data_type'"),
        ({"image_name": "../a.png"}, "'image_name'"),
        ({"image_name": "a.gif"}, "'image_name'"),
        ({"extra": {"bbox": 1}}, "'extra'"),
        ({"extra": {"x": float("nan")}}, "'extra'"),
        ({"extra": {"x": object()}}, "'extra'"),
        ({"instruction": " "}, "'instruction'"),
        ({"image_size": (41, HEIGHT)}, "'img_size'|outside|image"),
    ],
)
@pytest.mark.parametrize("version", ["v1", "pro"])
def test_writer_refuses_and_leaves_nothing(tmp_path, change, words, version):
    if version == "v1" and "image_size" in change:
        pytest.skip("v1 does not state the size")
    with pytest.raises(InputError, match=words):
        write_screenspot(tmp_path / "s", [record(**change)], {"a.png": pixels()}, version=version)
    assert list(tmp_path.iterdir()) == []


def test_writer_and_existing_folders(tmp_path):
    images = {"a.png": pixels()}
    target = tmp_path / "out" / "set"
    write_screenspot(target, [record()], images)
    before = (target / "screenspot_web.json").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_screenspot(target, [record()], images)
    with pytest.raises(InputError, match="image 'a.png'|x.png"):
        write_screenspot(target, [record()], overwrite=True)
    assert (target / "screenspot_web.json").read_bytes() == before
    write_screenspot(target, [record(instruction="New")], images, version="v2", overwrite=True)
    assert load_screenspot(target).records[0].instruction == "New"
    assert not (target / "screenspot_web.json").exists()
    (target / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match="not a ScreenSpot folder"):
        write_screenspot(target, [record()], images, overwrite=True)
    assert (target / "diary.txt").read_text() == "mine"
    assert [path.name for path in target.parent.iterdir()] == ["set"]
    for bad in ({"version": "v3"}, {"records": []}):
        options = {"folder": tmp_path / "n", "records": [record()], "images": images} | bad
        with pytest.raises(InputError):
            write_screenspot(**options)
    assert not (tmp_path / "n").exists()


def test_an_interrupted_overwrite_puts_the_old_set_back(tmp_path, monkeypatch):
    images, target = {"a.png": pixels()}, tmp_path / "set"
    write_screenspot(target, [record(instruction="Old")], images)
    rename = os.rename

    def failing(source, destination):
        if Path(source).name == "new":
            raise OSError(28, "No space left on device")
        rename(source, destination)

    monkeypatch.setattr("os.rename", failing)
    with pytest.raises(InputError, match="No space left"):
        write_screenspot(target, [record(instruction="New")], images, overwrite=True)
    with pytest.raises(InputError, match="No space left"):
        write_screenspot(tmp_path / "other", [record()], images)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert load_screenspot(target).records[0].instruction == "Old"


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be created, since .*file is not a folder"):
        write_screenspot(tmp_path / "file" / "deep" / "set", [record()], {"a.png": pixels()})


def test_one_name_for_two_images_is_refused(tmp_path):
    for place in ("a", "b"):
        write_screenspot(tmp_path / place, [record()], {"a.png": pixels()})
    records = [*load_screenspot(tmp_path / "a").records, *load_screenspot(tmp_path / "b").records]
    with pytest.raises(InputError, match="names two images"):
        write_screenspot(tmp_path / "c", records)


def test_real_screens_round_trip(shared_data, tmp_path):
    folder = shared_data / "gui" / "web_screens"
    if not folder.is_dir():
        pytest.skip(f"no screenshots at {folder}")
    shots = load_screenspot(folder)
    for version in ("v1", "v2", "pro"):
        write_screenspot(tmp_path / version, shots, version=version)
        again = load_screenspot(tmp_path / version)
        assert plain(again.records) == plain(shots.records)
        for record in shots.records[::100]:
            np.testing.assert_array_equal(
                again.image(again.records[shots.records.index(record)]), shots.image(record)
            )
