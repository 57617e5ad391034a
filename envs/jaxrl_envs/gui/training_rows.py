"""Rows of grounding training sets, and YAML lists of such files with sampling.

A row holds `image_path, instruction, height, width` and at least one of `rela_box` (corners as
shares of width and height) and `abs_box` (corners in pixels). A list is a YAML file such as

    datasets:
      - json_path: widgets.jsonl
        sampling_strategy: first:1000
      - json_path: web.json
        sampling_strategy: random:20%

Only this shape of YAML is read, by a small parser of our own.
"""

import math
import random
import re
from pathlib import Path

from jaxrl_envs.gui.screenspot_boxes import Box, parse_box_numbers, parse_size, place_box, show
from jaxrl_envs.gui.screenspot_files import AnnotationFile, annotation_file, read_text
from jaxrl_envs.gui.screenspot_images import show_path
from jaxrl_rewards.core.errors import InputError

ROW_KEYS = ("image_path", "rela_box", "abs_box")
BOX_AGREEMENT = 2.0  # pixels by which rela_box and abs_box may differ (rounding in either)

_SAMPLING = re.compile(r"(all)|(first|end|random):([0-9]{1,12})(%?)")
_ENTRY = re.compile(r"(\s*)(-\s+)?([A-Za-z_]+)\s*:\s*(.*)")
_KEYS = ("json_path", "sampling_strategy")


def is_training_row(row: dict) -> bool:
    """Return whether the keys are those of a training row rather than of ScreenSpot."""
    return "img_filename" not in row and any(key in row for key in ROW_KEYS)


def training_box(row: dict, size: tuple[int, int], max_overhang: float) -> Box:
    """Return the box in pixels; `abs_box` wins where both are given, and they must agree."""
    boxes = {}
    for field, bbox_format in (("abs_box", "xyxy"), ("rela_box", "xyxy_normalised")):
        if row.get(field) is not None:
            try:
                numbers = parse_box_numbers(row[field])
                boxes[field] = place_box(numbers, bbox_format, size, max_overhang)
            except InputError as error:
                raise InputError(f"field {field!r}: {error}") from None
    if not boxes:
        raise InputError("field 'abs_box' is missing, and so is 'rela_box'; add one of them")
    if len(boxes) == 2:
        gap = max(abs(a - b) for a, b in zip(boxes["abs_box"], boxes["rela_box"], strict=True))
        if gap > BOX_AGREEMENT:
            raise InputError(
                f"field 'rela_box': {show(row['rela_box'])} differs by {gap:.6g} px from abs_box "
                f"{show(row['abs_box'])}; correct one, or remove it"
            )
    return next(iter(boxes.values()))


def training_size(row: dict) -> tuple[int, int]:
    """Return (width, height) as the row states them; both are required."""
    sizes = []
    for field in ("width", "height"):
        if field not in row:
            raise InputError(f"field {field!r} is missing; add the image's {field} in pixels")
        try:
            sizes.append(parse_size(row[field]))
        except InputError as error:
            raise InputError(f"field {field!r}: {error}") from None
    return sizes[0], sizes[1]


def check_sampling(spec: str) -> str:
    """Return `spec` if it reads all, first:n, end:n, random:n, or the like with n%."""
    match = _SAMPLING.fullmatch(spec) if isinstance(spec, str) else None
    if match is None or (match.group(4) and int(match.group(3)) > 100):
        raise InputError(
            f"sampling_strategy is {show(spec)}; use all, first:n, end:n or random:n, where n is "
            "a number of rows or a percentage up to 100%"
        )
    return spec


def sample_rows(rows: list, spec: str, seed: int = 0) -> list:
    """Take the rows that `spec` names; `random` keeps the file's order and is fixed by `seed`.

    A percentage is rounded up; a number beyond the length takes everything.
    """
    if not spec:
        return rows
    match = _SAMPLING.fullmatch(check_sampling(spec))
    if match.group(1):
        return rows
    count = int(match.group(3))
    if match.group(4):
        count = math.ceil(count * len(rows) / 100)
    count = min(count, len(rows))
    if match.group(2) == "first":
        return rows[:count]
    if match.group(2) == "end":
        return rows[len(rows) - count :]
    chosen = sorted(random.Random(seed).sample(range(len(rows)), count))
    return [rows[index] for index in chosen]


def read_dataset_list(path: Path) -> list[AnnotationFile]:
    """Read a YAML list of annotation files; their paths are relative to the list's folder."""
    entries: list[dict] = []
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        where = f"{show_path(path)}: line {number}"
        content = _strip_comment(line)
        if not content.strip() or content.strip() in ("datasets:", "---"):
            continue
        match = _ENTRY.fullmatch(content)
        if match is None or match.group(3) not in _KEYS:
            raise InputError(
                f"{where} is {show(content.strip())}; expected 'datasets:', '- json_path: FILE' or "
                "'sampling_strategy: first:n'"
            )
        if match.group(2):
            entries.append({})
        if not entries:
            raise InputError(f"{where}: an entry must begin with '- '; write '- json_path: FILE'")
        key, value = match.group(3), match.group(4).strip()
        if key in entries[-1]:
            raise InputError(
                f"{where}: {key} is given twice for one entry; begin a new one by '- '"
            )
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        if key == "sampling_strategy":
            try:
                check_sampling(value)
            except InputError as error:
                raise InputError(f"{where}: {error}") from None
        entries[-1][key] = value
    if not entries:
        raise InputError(f"{show_path(path)} lists no files; add '- json_path: FILE' entries")
    return [_entry_file(path, index, entry) for index, entry in enumerate(entries)]


def _entry_file(path: Path, index: int, entry: dict) -> AnnotationFile:
    where = f"{show_path(path)}: entry {index}"
    name = entry.get("json_path", "")
    if not name:
        raise InputError(f"{where} has no json_path; name a .json or .jsonl file")
    if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise InputError(
            f"{where}: json_path {show(name)} leaves the list's folder; move the file below it, or "
            "load that file directly"
        )
    return annotation_file(path.parent / name, entry.get("sampling_strategy", ""))


def _strip_comment(line: str) -> str:
    stripped = line.rstrip("\r")
    if stripped.lstrip().startswith("#"):
        return ""
    return re.split(r"\s#", stripped, maxsplit=1)[0].rstrip()
