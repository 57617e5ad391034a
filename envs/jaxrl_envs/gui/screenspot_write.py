"""Writer of ScreenSpot, ScreenSpot-v2 and ScreenSpot-Pro folders that `load_screenspot` reads."""

import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from jaxrl_envs.gui.screenspot import (
    DATA_TYPES,
    RESERVED_KEYS,
    ScreenSpotRecord,
    ScreenSpotSet,
    load_screenspot,
)
from jaxrl_envs.gui.screenspot_boxes import box_from_pixels, show
from jaxrl_envs.gui.screenspot_files import IMAGE_SUFFIXES, PLATFORMS
from jaxrl_envs.gui.screenspot_images import encode_png, read_file_bytes, show_path
from jaxrl_rewards.core.errors import InputError

VERSIONS = ("v1", "v2", "pro")
_IMAGE_FOLDER = {"v1": "", "v2": "screenspotv2_image", "pro": "images"}

ImageSource = np.ndarray | bytes | str | Path


def write_screenspot(
    folder: str | Path,
    records: ScreenSpotSet | Iterable[ScreenSpotRecord],
    images: Mapping[str, ImageSource] | None = None,
    *,
    version: str = "v1",
    overwrite: bool = False,
) -> Path:
    """Write records and their images as a folder in a ScreenSpot layout.

    Reading it back gives the same boxes, texts, types and extra fields bit for bit (for v1 and v2,
    a box that neither was read as x, y, w, h nor lies on a binary grid may differ in the last bit;
    see `box_from_pixels`). Records are grouped by file, which is platform for v1 and v2 and
    application for Pro; their order within a file is kept.
    Everything is written to a temporary folder beside `folder`, read back and checked, and then
    renamed, so `folder` is never half-written.

    Args:
        folder: the folder to create.
        records: what to write; an empty list is an error.
        images: image by `image_name`, as uint8[H, W, 3], encoded bytes or a path. Names that it
            lacks are copied byte for byte from the record's `image_path`.
        version: "v1", "v2" ([x, y, w, h] boxes) or "pro" ([x1, y1, x2, y2], img_size).
        overwrite: replace an existing folder, provided that it is empty or a set of this kind.

    Returns:
        The path of the folder.

    Raises:
        InputError: naming the record and field that cannot be written, or the folder that exists.
    """
    if version not in VERSIONS:
        raise InputError(f"version is {show(version)}; use one of {', '.join(VERSIONS)}")
    target = Path(folder)
    items = tuple(records.records if isinstance(records, ScreenSpotSet) else records)
    if not items:
        raise InputError(f"there are no records to write to {show_path(target)}; give at least one")
    check_target(target, overwrite)
    files = _annotation_texts(items, version)
    sources = _image_sources(items, images or {})
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{show_path(target)} cannot be created ({error}); choose another"
        ) from None
    try:
        fresh = staging / "new"
        _fill(fresh, files, sources, version)
        _verify(fresh, target, len(items))
        _swap(fresh, target, staging.with_name(f"{staging.name}-old"))
    except OSError as error:
        raise InputError(f"{show_path(target)} cannot be written ({error}); mend that") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def check_target(target: Path, overwrite: bool) -> None:
    """Raise `InputError` unless a set may be written at `target`."""
    try:
        exists = os.path.lexists(target)
    except ValueError:
        raise InputError(f"{show_path(target)} is not a usable path; choose another") from None
    if not exists:
        parent = next(place for place in target.absolute().parents if os.path.lexists(place))
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise InputError(
                f"{show_path(target)} cannot be created, since {show_path(parent)} is not a folder "
                "that you may write to; choose another"
            )
        return
    if not overwrite:
        raise InputError(
            f"{show_path(target)} exists already; choose another folder, or ask to overwrite it"
        )
    if target.is_symlink() or not target.is_dir() or not _is_own_folder(target):
        raise InputError(
            f"{show_path(target)} is not a ScreenSpot folder and so is not overwritten; choose "
            "another folder"
        )


def _is_own_folder(folder: Path) -> bool:
    """Whether a folder holds nothing but annotation files, images and the layouts' sub-folders."""
    for path in folder.rglob("*"):
        if path.is_dir():
            continue
        if path.suffix.lower() not in (*IMAGE_SUFFIXES, ".json"):
            return False
    return not any(folder.iterdir()) or any(folder.rglob("*.json"))


def _annotation_texts(records: tuple[ScreenSpotRecord, ...], version: str) -> dict[str, str]:
    """Return {file name: JSON text}."""
    rows: dict[str, list[dict]] = {}
    for index, record in enumerate(records):
        try:
            name, row = _row(record, version)
            json.dumps(row, allow_nan=False)
        except InputError as error:
            raise InputError(f"record {index}: {error}") from None
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(
                f"record {index}: field 'extra' cannot be written as JSON ({error}); use finite "
                "numbers, text, lists and objects"
            ) from None
        rows.setdefault(name, []).append(row)
    return {name: json.dumps(items, indent=1, allow_nan=False) for name, items in rows.items()}


def _row(record: ScreenSpotRecord, version: str) -> tuple[str, dict]:
    _check_record(record)
    row = {"img_filename": record.image_name}
    size = record.image_size
    if version == "pro":
        row |= {"bbox": box_from_pixels(record.box, "xyxy", size), "bbox_format": "xyxy"}
        row |= {"img_size": list(size), "instruction": record.instruction}
        row |= {"ui_type": record.data_type, "application": record.data_source}
        row |= {"platform": record.platform, "group": record.group}
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", record.data_source).strip("._")[:80]
        name = f"annotations/{stem or 'unknown'}.json"
    else:
        row |= {"bbox": box_from_pixels(record.box, "xywh", size), "bbox_format": "xywh"}
        row |= {"instruction": record.instruction, "data_type": record.data_type}
        row |= {"data_source": record.data_source}
        platform = record.platform if record.platform in PLATFORMS else "web"
        if record.platform != platform:
            row["platform"] = record.platform
        if record.group:
            row["group"] = record.group
        name = f"screenspot_{platform}{'_v2' if version == 'v2' else ''}.json"
    return name, row | dict(record.extra)


def _check_record(record: ScreenSpotRecord) -> None:
    x1, y1, x2, y2 = record.box
    width, height = record.image_size
    inside = (
        all(map(math.isfinite, record.box)) and 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
    )
    if not inside:
        raise InputError(
            f"field 'box': {show(record.box)} is not inside its {width}x{height} image with area; "
            "correct it"
        )
    if record.data_type not in DATA_TYPES:
        raise InputError(
            f"field 'data_type': {show(record.data_type)} is not one of {', '.join(DATA_TYPES)}"
            "; correct it"
        )
    name = PurePosixPath(record.image_name)
    if name.is_absolute() or ".." in name.parts or name.suffix.lower() not in IMAGE_SUFFIXES:
        raise InputError(
            f"field 'image_name': {show(record.image_name)} is not a relative .png, .jpg or .webp "
            "name; rename it"
        )
    taken = [key for key in record.extra if not isinstance(key, str) or key in RESERVED_KEYS]
    if taken:
        raise InputError(
            f"field 'extra': key {show(taken[0])} is not free text or has a meaning of "
            "its own; rename it"
        )


def _image_sources(
    records: tuple[ScreenSpotRecord, ...], images: Mapping[str, ImageSource]
) -> dict[str, ImageSource]:
    sources: dict[str, ImageSource] = {}
    for index, record in enumerate(records):
        source = images.get(record.image_name, record.image_path)
        known = sources.setdefault(record.image_name, source)
        if known is not source and isinstance(known, (str, Path)) and Path(known) != Path(source):
            raise InputError(
                f"record {index}: field 'image_name': {show(record.image_name)} names two images, "
                f"{show_path(known)} and {show_path(source)}; rename one"
            )
    return sources


def _fill(
    folder: Path, files: Mapping[str, str], sources: Mapping[str, ImageSource], version: str
) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    for name, source in sources.items():
        path = folder / _IMAGE_FOLDER[version] / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_image_bytes(source))
        except (OSError, ValueError) as error:
            raise InputError(f"image {show(name)} cannot be written ({error}); mend it") from None


def _image_bytes(source: ImageSource) -> bytes:
    if isinstance(source, bytes):
        return source
    if isinstance(source, (str, Path)):
        return read_file_bytes(Path(source))
    return encode_png(source)


def _verify(fresh: Path, target: Path, count: int) -> None:
    try:
        found = len(load_screenspot(fresh, max_overhang=1e-6))
    except InputError as error:
        raise InputError(str(error).replace(str(fresh), str(target))) from None
    if found != count:
        raise InputError(
            f"{show_path(target)}: {found} of {count} records can be read back; two "
            "images or files collide, so rename one"
        )


def _swap(fresh: Path, target: Path, aside: Path) -> None:
    """Put `fresh` at `target`; an existing folder waits at `aside` and comes back if that fails."""
    mask = os.umask(0)
    os.umask(mask)
    os.chmod(fresh, 0o777 & ~mask)
    if not os.path.lexists(target):
        os.rename(fresh, target)
        return
    os.rename(target, aside)
    try:
        os.rename(fresh, target)
    except BaseException:
        os.rename(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)
