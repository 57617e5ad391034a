import json
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxrl_envs.gui.screenspot import load_screenspot
from jaxrl_envs.gui.screenspot_boxes import (
    BBOX_FORMATS,
    box_from_pixels,
    box_to_pixels,
    detect_bbox_format,
    place_box,
)
from jaxrl_envs.gui.screenspot_images import decode_image_bytes, encode_png
from jaxrl_envs.gui.training_rows import sample_rows
from PIL import Image

from jaxrl_rewards.core.errors import InputError

WIDTH, HEIGHT = 40, 30


def pixels(width=WIDTH, height=HEIGHT, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


def v1_row(**changes):
    row = {
        "img_filename": "a.png",
        "bbox": [30, 20, 5.5, 6],
        "instruction": "Submit",
        "data_type": "text",
        "data_source": "ios",
    }
    return row | changes


def write_folder(folder: Path, rows, name="screenspot_web.json", images=("a.png",)):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(rows))
    for image in images:
        path = folder / image
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(pixels()))
    return folder


def fault(path, *words, **options):
    """The message of the one InputError, which must hold every word, on a single line."""
    with pytest.raises(InputError) as caught:
        load_screenspot(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 900
    for word in words:
        assert word in message, message
    return message


# Layouts


def test_v1_folder(tmp_path):
    write_folder(tmp_path, [v1_row()], "screenspot_mobile.json")
    (tmp_path / "screenspot_web.json").write_text(json.dumps([v1_row(data_type="icon", note=[1])]))
    shots = load_screenspot(tmp_path)
    first, second = shots.records
    assert first.box == (30.0, 20.0, 35.5, 26.0)
    assert (first.platform, first.data_source, first.data_type) == ("mobile", "ios", "text")
    assert (second.platform, second.data_type, second.extra) == ("web", "icon", {"note": [1]})
    assert first.image_size == (WIDTH, HEIGHT)
    np.testing.assert_array_equal(shots.image(first), pixels())
    assert shots.image(first) is shots.image(second)
    assert not shots.image(first).flags.writeable
    assert list(shots.by_image().values()) == [(first, second)]
    assert shots.summary()["by_platform"] == {"mobile": {"text": 1}, "web": {"icon": 1}}
    assert hash(first) != hash(second)


def test_v2_folder(tmp_path):
    write_folder(
        tmp_path, [v1_row()], "screenspot_desktop_v2.json", images=("screenspotv2_image/a.png",)
    )
    (record,) = load_screenspot(tmp_path).records
    assert record.platform == "desktop"
    assert record.image_path == tmp_path / "screenspotv2_image" / "a.png"


def test_v1_and_v2_in_one_folder_is_refused(tmp_path):
    write_folder(tmp_path, [v1_row()])
    write_folder(tmp_path, [v1_row()], "screenspot_web_v2.json")
    fault(tmp_path, "ScreenSpot-v2", "give one file")


@pytest.mark.parametrize("place", ["", "annotations"])
def test_pro_folder(tmp_path, place):
    row = {
        "img_filename": "vscode/a.png",
        "bbox": [1, 2, 30, 29],  # fits [x, y, w, h] too: the layout decides
        "img_size": [WIDTH, HEIGHT],
        "instruction": "run",
        "instruction_cn": "运行",
        "id": "vscode_1",
        "application": "vscode",
        "platform": "macos",
        "ui_type": "icon",
        "group": "Dev",
    }
    folder = tmp_path / place
    folder.mkdir(exist_ok=True)
    (folder / "vscode_macos.json").write_text(json.dumps([row, row]))
    write_folder(tmp_path / "images" / "vscode", [], "ignored.txt")
    for path in (tmp_path, folder, folder / "vscode_macos.json"):
        record, twin = load_screenspot(path).records
        assert record == twin
        assert record.box == (1.0, 2.0, 30.0, 29.0)
        assert (record.data_type, record.group, record.platform) == ("icon", "Dev", "macos")
        assert record.data_source == "vscode"
        assert record.extra == {"id": "vscode_1", "instruction_cn": "运行"}


def training_row(**changes):
    row = {"image_path": "a.png", "instruction": "Go", "height": HEIGHT, "width": WIDTH}
    row |= {"rela_box": [0.5, 0.5, 0.75, 0.8], "abs_box": [20, 15, 30, 24]}
    return row | changes


def test_training_rows(tmp_path):
    write_folder(tmp_path, [training_row()], "rows.json")
    lines = [training_row(abs_box=None), training_row(image_path=str(tmp_path / "a.png"))]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert load_screenspot(tmp_path / "rows.json").records[0].box == (20.0, 15.0, 30.0, 24.0)
    records = load_screenspot(tmp_path / "rows.jsonl").records
    np.testing.assert_allclose(records[0].box, (20.0, 15.0, 30.0, 24.0))
    assert records[1].image_name == "a.png"
    assert {record.data_type for record in records} == {"unknown"}


def test_yaml_list_with_sampling(tmp_path):
    rows = [training_row(instruction=str(index)) for index in range(10)]
    write_folder(tmp_path, rows, "rows.json")
    (tmp_path / "list.yaml").write_text(
        "# sets\ndatasets:\n  - json_path: 'rows.json'  # all of it\n"
        "    sampling_strategy: first:2\n"
        "  - json_path: rows.json\n    sampling_strategy: end:3\n"
        "  - sampling_strategy: random:35%\n    json_path: rows.json\n  - json_path: rows.json\n"
    )
    texts = [record.instruction for record in load_screenspot(tmp_path / "list.yaml").records]
    assert texts[:5] == ["0", "1", "7", "8", "9"]
    assert len(texts) == 5 + 4 + 10
    assert texts[5:9] == sorted(set(texts[5:9]))
    again = [record.instruction for record in load_screenspot(tmp_path / "list.yaml").records]
    assert texts == again


@given(st.integers(0, 50), st.sampled_from(["first", "end", "random"]), st.integers(0, 60))
def test_sampling_counts(length, how, count):
    rows = list(range(length))
    taken = sample_rows(rows, f"{how}:{count}")
    assert len(taken) == min(count, length)
    assert taken == sorted(set(taken))
    assert len(sample_rows(rows, f"{how}:100%")) == length


@pytest.mark.parametrize(
    "text, words",
    [
        ("datasets:\n", ("lists no files",)),
        ("datasets:\n  - json_path: rows.json\n    sampling_strategy: last:3", ("last:3", "end:n")),
        ("datasets:\n  - json_path: rows.json\n    sampling_strategy: random:101%", ("101%",)),
        ("datasets:\n  - json_path: ../rows.json", ("leaves the list's folder",)),
        ("datasets:\n  - json_path: none.json", ("none.json", "does not exist")),
        ("datasets:\n  json_path: rows.json", ("line 2", "'- '")),
        ("datasets: [rows.json]", ("line 1", "expected")),
        ("- json_path: rows.json\n  json_path: rows.json", ("twice",)),
        ("- sampling_strategy: all", ("no json_path",)),
    ],
)
def test_bad_yaml_list(tmp_path, text, words):
    write_folder(tmp_path, [training_row()], "rows.json")
    (tmp_path / "list.yaml").write_text(text)
    fault(tmp_path / "list.yaml", *words)


# Box formats


@pytest.mark.parametrize("bbox_format", BBOX_FORMATS)
def test_format_is_told_from_the_whole_file(tmp_path, bbox_format):
    size = (WIDTH, HEIGHT)
    boxes = [(30.0, 20.0, 35.5, 26.0), (1.0, 2.0, 30.0, 28.0), (2.0, 3.0, 6.0, 8.0)]
    rows = [v1_row(bbox=box_from_pixels(box, bbox_format, size)) for box in boxes]
    write_folder(tmp_path, rows)
    for given_format in ("auto", bbox_format):
        records = load_screenspot(tmp_path, given_format).records
        np.testing.assert_allclose([record.box for record in records], boxes, atol=1e-9)


def test_ambiguous_format_is_asked_for(tmp_path):
    write_folder(tmp_path, [v1_row(bbox=[1, 2, 10, 10])])
    fault(tmp_path, "screenspot_web.json", "xywh and xyxy", "bbox_format")
    assert load_screenspot(tmp_path, "xywh").records[0].box == (1.0, 2.0, 11.0, 12.0)
    assert load_screenspot(tmp_path, "xyxy").records[0].box == (1.0, 2.0, 10.0, 10.0)
    write_folder(tmp_path, [v1_row(bbox=[1, 2, 10, 10], bbox_format="xyxy")])
    assert load_screenspot(tmp_path).records[0].box == (1.0, 2.0, 10.0, 10.0)
    write_folder(tmp_path, [v1_row(bbox=[0.1, 0.1, 0.2, 0.2])])
    fault(tmp_path, "xywh_normalised and xyxy_normalised")


def test_one_bad_box_does_not_hide_the_format(tmp_path):
    rows = [v1_row(bbox=[20, 10, 5, index + 1]) for index in range(12)]
    rows[7]["bbox"] = [20, 10, 25, 5]
    write_folder(tmp_path, rows)
    fault(tmp_path, "record 7", "'bbox'", "5 px outside the 40x30 image")
    shots = load_screenspot(tmp_path, strict=False)
    assert len(shots) == 11
    assert len(shots.problems) == 1 and "record 7" in shots.problems[0]


def test_unknown_format_and_options(tmp_path):
    write_folder(tmp_path, [v1_row()])
    fault(tmp_path, "cxcywh", "xyxy_normalised", bbox_format="cxcywh")
    fault(tmp_path, "check_images", check_images="slow")
    write_folder(tmp_path, [v1_row(bbox_format="xywh"), v1_row(bbox_format="xyxy")])
    fault(tmp_path, "'bbox_format' differs between records", "one format per file")


@given(
    st.lists(
        st.tuples(st.floats(0, 30), st.floats(0, 20), st.floats(1.5, 9.9), st.floats(1.5, 9.9)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(BBOX_FORMATS),
)
def test_detection_is_right_or_undecided(quadruples, bbox_format):
    size = (WIDTH, HEIGHT)
    numbers = []
    for x, y, w, h in quadruples:
        box = (x, y, x + w, y + h)
        numbers.append((tuple(box_from_pixels(box, bbox_format, size)), size))
    try:
        assert detect_bbox_format(numbers) == bbox_format
    except InputError as error:
        assert "give bbox_format" in str(error)


@given(st.floats(0, 4000), st.floats(1e-3, 4000))
def test_extent_round_trip_is_exact_for_boxes_read_as_extents(start, extent):
    box = box_to_pixels((start, start, extent, extent), "xywh", (8000, 8000))
    numbers = box_from_pixels(box, "xywh", (8000, 8000))
    assert box_to_pixels(numbers, "xywh", (8000, 8000)) == box


@given(st.floats(0, 4000), st.floats(0, 4000))
def test_extent_round_trip_is_within_one_bit(a, b):
    start, end = min(a, b), max(a, b)
    numbers = box_from_pixels((start, start, end, end), "xywh", (4000, 4000))
    again = box_to_pixels(numbers, "xywh", (4000, 4000))
    assert again[:2] == (start, start)
    assert abs(again[2] - end) <= np.spacing(end)


def test_overhang_rule():
    size = (WIDTH, HEIGHT)
    assert place_box((-1, -0.5, 10, 31), "xyxy", size) == (0.0, 0.0, 10.0, 30.0)
    assert place_box((-5, 0, 10, 30), "xyxy", size, max_overhang=5) == (0.0, 0.0, 10.0, 30.0)
    for box in [(-1.01, 0, 10, 10), (0, 0, 41.5, 10), (40, 0, 40.5, 10), (-0.5, 0, 0, 10)]:
        with pytest.raises(InputError):
            place_box(box, "xyxy", size)


# Bad records: each names the file, the record, the field, the value and the remedy


@pytest.mark.parametrize(
    "change, words",
    [
        ({"bbox": [30, 20, 0, 6]}, ("'bbox'", "[30, 20, 0, 6]", "no area", "correct it")),
        ({"bbox": [30, 20, -5, 6]}, ("'bbox'", "-5", "negative size")),
        ({"bbox": [30, 20, 15, 6]}, ("'bbox'", "5 px outside the 40x30 image")),
        ({"bbox": [1e9, 20, 15, 6]}, ("'bbox'", "1e+09 px outside")),
        ({"bbox": [30, 20, 5]}, ("'bbox'", "four numbers")),
        ({"bbox": "30 20 5 6"}, ("'bbox'", "four numbers")),
        ({"bbox": [30, 20, "5", 6]}, ("'bbox'", "'5' is not a number")),
        ({"bbox": [30, 20, True, 6]}, ("'bbox'", "True is not a number")),
        ({"bbox": [30, 20, None, 6]}, ("'bbox'", "None is not a number")),
        ({"bbox": [30, float("nan"), 5, 6]}, ("'bbox'", "nan", "finite")),
        ({"bbox": [30, 20, float("inf"), 6]}, ("'bbox'", "inf", "finite")),
        ({"bbox": [30, 20, 10**400, 6]}, ("'bbox'", "finite")),
        ({"bbox_format": 3}, ("'bbox_format'", "is 3")),
        ({"instruction": "  "}, ("'instruction'", "blank")),
        ({"instruction": 7}, ("'instruction'", "7 is not text")),
        ({"instruction": "\ud800"}, ("'instruction'", "surrogate")),
        ({"data_type": "Text"}, ("'data_type'", "'Text'", "icon")),
        ({"data_source": 1}, ("'data_source'", "not text")),
        ({"img_filename": "../a.png"}, ("'img_filename'", "leaves the folder")),
        ({"img_filename": "/elsewhere/a.png"}, ("'img_filename'", "absolute")),
        ({"img_filename": "b.png"}, ("'img_filename'", "'b.png' does not exist", "image_dir")),
        ({"img_filename": "x" * 5000 + ".png"}, ("'img_filename'", "does not exist")),
        ({"img_filename": "a\0.png"}, ("'img_filename'", "NUL")),
        ({"img_filename": None}, ("'img_filename'", "not a file name")),
        ({"img_size": [41, 30]}, ("'img_size'", "41x30", "image is 40x30")),
        ({"img_size": [40.5, 30]}, ("'img_size'", "whole number")),
        ({"img_size": 40}, ("'img_size'", "[width, height]")),
    ],
)
def test_bad_record(tmp_path, change, words):
    write_folder(tmp_path, [v1_row(), v1_row(**change)])
    message = fault(tmp_path, "record 1", *words, bbox_format="xywh")
    assert message.startswith(str(tmp_path / "screenspot_web.json"))
    shots = load_screenspot(tmp_path, "xywh", strict=False)
    assert len(shots) == 1
    assert shots.problems == (message,)


@pytest.mark.parametrize("key", ["img_filename", "bbox", "instruction", "data_type"])
def test_missing_key(tmp_path, key):
    row = v1_row()
    del row[key]
    write_folder(tmp_path, [v1_row(), row])
    fault(tmp_path, "record 1", f"field '{key}' is missing", "add it")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"abs_box": None, "rela_box": None}, ("'abs_box' is missing", "rela_box")),
        ({"width": 39}, ("width, height", "39x30")),
        ({"height": "30"}, ("'height'", "'30' is not a number")),
        ({"abs_box": [20, 15, 30, 28]}, ("'rela_box'", "differs by 4 px")),
        ({"rela_box": [0.5, 0.5, 1.75, 0.8]}, ("'rela_box'", "outside")),
        ({"abs_box": [30, 15, 20, 24]}, ("'abs_box'", "reversed")),
        ({"image_path": "/elsewhere/a.png"}, ("'image_path'", "image_dir")),
    ],
)
def test_bad_training_row(tmp_path, change, words):
    write_folder(tmp_path, [], "unused.txt")
    (tmp_path / "rows.jsonl").write_text(json.dumps(training_row(**change)))
    fault(tmp_path / "rows.jsonl", "line 1", *words)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", ("not valid JSON",)),
        (b"[{]", ("not valid JSON", "line 1, column 3")),
        (b"[]", ("no records",)),
        (b"{}", ("JSON list",)),
        (b"[1]", ("record 0", "object")),
        (b"\xff\xfe[]", ("UTF-8",)),
        (b"[" * 100_000, ("nested too deeply",)),
        (b"[" + b"9" * 6000 + b"]", ("number that is too long",)),
        (b'{"a": 1}\n{"a": 2}', (".jsonl",)),
    ],
)
def test_bad_file(tmp_path, data, words):
    (tmp_path / "screenspot_web.json").write_bytes(data)
    fault(tmp_path, "screenspot_web.json", *words)
    fault(tmp_path, "no usable record", *words, strict=False)


def test_bad_paths(tmp_path):
    fault(tmp_path, "no annotation file")
    fault(tmp_path / "none", "does not exist")
    fault("a\0b", "not exist")
    (tmp_path / "a.txt").write_text("x")
    fault(tmp_path / "a.txt", "not an annotation file")
    write_folder(tmp_path, [v1_row()])
    fault(tmp_path, "image_dir", "not a folder", image_dir=tmp_path / "none")
    if hasattr(os, "mkfifo"):  # reading it would wait for ever
        os.mkfifo(tmp_path / "pipe.json")
        fault(tmp_path / "pipe.json", "not a regular file")
    (tmp_path / "screenspot_mobile.json").mkdir()
    fault(tmp_path, "not a regular file")


# Images


def as_bytes(image: Image.Image, kind="PNG", **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_image_modes_become_rgb():
    rgb = pixels()
    image = Image.fromarray(rgb)
    np.testing.assert_array_equal(decode_image_bytes(as_bytes(image)), rgb)
    grey = np.array(image.convert("L"))
    for mode in ("L", "LA"):
        np.testing.assert_array_equal(
            decode_image_bytes(as_bytes(image.convert(mode))), np.repeat(grey[..., None], 3, 2)
        )
    palette = image.quantize(16)
    np.testing.assert_array_equal(
        decode_image_bytes(as_bytes(palette)), np.array(palette.convert("RGB"))
    )
    wide = (np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) * 50).astype(np.uint16)
    decoded = decode_image_bytes(as_bytes(Image.fromarray(wide)))
    np.testing.assert_array_equal(decoded[..., 1], wide >> 8)
    assert set(np.unique(decode_image_bytes(as_bytes(image.convert("1"))))) <= {0, 255}
    clear = np.dstack([rgb, np.zeros((HEIGHT, WIDTH), np.uint8)])
    assert (decode_image_bytes(as_bytes(Image.fromarray(clear))) == 255).all()
    smooth = np.broadcast_to(np.arange(WIDTH, dtype=np.uint8)[:, None] * 4, (HEIGHT, WIDTH, 3))
    for mode in ("RGB", "CMYK", "L"):
        jpeg = as_bytes(Image.fromarray(smooth.copy()).convert(mode), "JPEG", quality=95)
        assert np.abs(decode_image_bytes(jpeg).astype(int) - smooth).max() < 12


def test_exif_orientation_is_ignored():
    image = Image.fromarray(pixels())
    exif = Image.Exif()
    exif[274] = 6
    assert decode_image_bytes(as_bytes(image, "JPEG", exif=exif)).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_bad_image(tmp_path, kind):
    good = as_bytes(Image.fromarray(pixels()), kind)
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 0xFF
    gif = as_bytes(Image.fromarray(pixels()), "GIF")
    cases = [(good[:60], "truncated"), (good[:-20], "truncated"), (b"", "empty"), (gif, "neither")]
    cases += [(b"text", "neither")] + ([(bytes(flipped), "corrupt")] if kind == "PNG" else [])
    for data, word in cases:
        write_folder(tmp_path, [v1_row()])
        (tmp_path / "a.png").write_bytes(data)
        fault(tmp_path, "record 0", "'img_filename'", "a.png", word)
    (tmp_path / "a.png").write_bytes(good)
    shots = load_screenspot(tmp_path, check_images="full")
    (tmp_path / "a.png").write_bytes(good[:-20])
    with pytest.raises(InputError, match="a.png.*truncated"):
        shots.image(shots.records[0])
    (tmp_path / "a.png").write_bytes(encode_png(pixels(10, 10)))
    with pytest.raises(InputError, match="10x10"):
        shots.image(shots.records[0])


def test_huge_image_is_refused(tmp_path):
    write_folder(tmp_path, [v1_row()])
    fault(tmp_path, "40x30", "limit of 1199", max_pixels=1199)
    bomb = as_bytes(Image.new("1", (20_000, 20_000)))
    (tmp_path / "a.png").write_bytes(bomb)
    fault(tmp_path, "pixels", "shrink it")


def test_real_screens(shared_data, tmp_path):
    folder = shared_data / "gui" / "web_screens"
    if not folder.is_dir():
        pytest.skip(f"no screenshots at {folder}")
    shots = load_screenspot(folder, check_images="full", max_overhang=0.0)
    assert shots.problems == ()
    counts = shots.summary()
    assert (counts["records"], counts["images"]) == (539, 189)
    assert counts["image_sizes"] == {"160x210": 189}
    raw = json.loads((folder / "screenspot_web.json").read_text())
    for row, read in zip(raw, shots.records, strict=True):
        x, y, w, h = row["bbox"]
        assert read.box == (x, y, x + w, y + h)
