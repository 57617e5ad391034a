"""Finding and reading annotation files, and finding the images that they name."""

import dataclasses
import json
import os
import re
from pathlib import Path, PurePosixPath

from jaxrl_envs.gui.screenspot_boxes import show
from jaxrl_envs.gui.screenspot_images import read_file_bytes, show_path
from jaxrl_rewards.core.errors import InputError

PLATFORMS = ("mobile", "desktop", "web")
IMAGE_FOLDERS = ("", "images", "screenspot_imgs", "screenspotv2_image", "screenshots")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_STANDARD_NAME = re.compile(r"screenspot_(mobile|desktop|web)(_v2)?\.json")


@dataclasses.dataclass(frozen=True)
class AnnotationFile:
    """One file to read: its path, the platform its name tells, and which of its rows to take."""

    path: Path
    platform: str = ""
    sampling: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """One raw record and how to call it in a message ("record 3" from 0, or "line 4" from 1)."""

    label: str
    value: object


def annotation_file(path: Path, sampling: str = "") -> AnnotationFile:
    """Describe one file; the platform comes from a standard name such as screenspot_web.json."""
    match = _STANDARD_NAME.fullmatch(path.name)
    return AnnotationFile(path, match.group(1) if match else "", sampling)


def find_annotation_files(folder: Path) -> list[AnnotationFile]:
    """Return the annotation files of a folder, in a fixed order.

    The standard names of ScreenSpot or ScreenSpot-v2 (mobile, desktop, web) where there are any,
    else every .json and .jsonl file of the folder, else those of its sub-folder `annotations`.
    """
    try:
        return _find_annotation_files(folder)
    except OSError as error:
        raise InputError(
            f"{show_path(folder)} cannot be listed ({error.strerror}); check it"
        ) from None


def _find_annotation_files(folder: Path) -> list[AnnotationFile]:
    for version in ("", "_v2"):
        paths = [folder / f"screenspot_{platform}{version}.json" for platform in PLATFORMS]
        found = [path for path in paths if path.exists()]
        if found:
            if not version and any(folder.glob("screenspot_*_v2.json")):
                raise InputError(
                    f"{show_path(folder)} holds ScreenSpot and ScreenSpot-v2 files; give one file, "
                    "or separate them"
                )
            return [annotation_file(path) for path in found]
    for place in (folder, folder / "annotations"):
        if place.is_dir():
            found = sorted(
                path
                for path in place.iterdir()
                if path.suffix.lower() in (".json", ".jsonl") and not path.name.startswith(".")
            )
            if found:
                return [annotation_file(path) for path in found]
    raise InputError(
        f"{show_path(folder)} holds no annotation file; expected screenspot_*.json, other .json or "
        ".jsonl files, or a sub-folder annotations"
    )


def read_text(path: Path) -> str:
    """Return the UTF-8 text of a file (a byte order mark is dropped)."""
    try:
        return read_file_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{show_path(path)} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from None


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a JSON list or of a JSON-lines file; an empty one is an error."""
    text = read_text(path)
    if path.suffix.lower() == ".jsonl":
        rows = [
            Row(f"line {number}", _parse_json(line, f"{show_path(path)}: line {number}"))
            for number, line in enumerate(text.split("\n"), start=1)
            if line.strip()
        ]
    else:
        values = _parse_json(text, show_path(path))
        if not isinstance(values, list):
            raise InputError(
                f"{show_path(path)} holds {show(values)} where a JSON list of records is expected; "
                "wrap the records in [ ]"
            )
        rows = [Row(f"record {index}", value) for index, value in enumerate(values)]
    if not rows:
        raise InputError(f"{show_path(path)} holds no records; add some or leave the file out")
    return rows


def _parse_json(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        remedy = "correct it or write the file again"
        if error.msg == "Extra data":
            remedy = "correct it, or name it .jsonl if every line is a record"
        raise InputError(
            f"{where} is not valid JSON ({error.msg}, line {error.lineno}, column {error.colno}); "
            f"{remedy}"
        ) from None
    except RecursionError:
        raise InputError(f"{where} is nested too deeply; records are flat objects") from None
    except ValueError as error:
        raise InputError(f"{where} holds a number that is too long ({error}); correct it") from None


def image_roots(annotations: Path, image_dir: Path | None) -> list[Path]:
    """Return the folders in which images may lie, in order of preference."""
    if image_dir is not None:
        bases = [image_dir]
    else:
        bases = [annotations.parent]
        if annotations.parent.name == "annotations":
            bases.append(annotations.parent.parent)
    return [base / name if name else base for base in bases for name in IMAGE_FOLDERS]


def resolve_image(name: object, roots: list[Path]) -> tuple[str, Path]:
    """Return (name relative to its root, path) of an image that a record names.

    Names are relative with forward slashes. An absolute name, or one with `..`, is refused unless
    it is an absolute path below one of the roots, so that an annotation file cannot reach other
    parts of the machine. (Links inside the folder are the owner's own and are followed.)
    """
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{show(name)} is not a file name; name a PNG, JPEG or WebP file")
    if "\0" in name:
        raise InputError(f"{show(name)} holds a NUL character; correct it")
    relative = PurePosixPath(name)
    if relative.is_absolute():
        for root in roots:
            if relative.is_relative_to(os.path.abspath(root)):
                relative = relative.relative_to(os.path.abspath(root))
                name = str(relative)
                break
        else:
            raise InputError(
                f"{show(name)} is an absolute path outside {show_path(roots[0])}; give image_dir, "
                "or write it relative"
            )
    if ".." in relative.parts or "..\\" in name:
        raise InputError(f"{show(name)} leaves the folder; name a file inside it")
    for root in roots:
        path = root / relative
        try:
            if path.is_file():
                return name, path
        except (OSError, ValueError):  # too long, or not encodable
            continue
    raise InputError(
        f"{show(name)} does not exist in {show_path(roots[0])} or its known sub-folders; put it "
        "there, or give image_dir"
    )
