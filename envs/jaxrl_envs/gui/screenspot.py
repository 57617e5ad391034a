"""Reader of GUI grounding sets: ScreenSpot, ScreenSpot-v2, ScreenSpot-Pro and training rows.

    shots = load_screenspot("folder")
    shots.records[0].box, shots.image(shots.records[0])

Layouts (fields as the published files have them):

- ScreenSpot and v2: `screenspot_{mobile,desktop,web}[_v2].json`, lists of `img_filename,
  instruction, bbox, data_type, data_source`; `bbox` is [x, y, w, h] in pixels, but re-uploads with
  normalised corners exist, so the format is told from the numbers of the whole file;
- Pro: one list per application with `bbox` [x1, y1, x2, y2] in pixels, `img_size, ui_type, group,
  platform, application, id, instruction_cn`;
- training rows (`jaxrl_envs.gui.training_rows`), JSON, JSON lines or a YAML list of files.

A record may also carry `bbox_format`, which then holds for its file (our writer adds it). Boxes in
memory are (x1, y1, x2, y2) in pixels of the original image. One that reaches at most
`max_overhang` pixels beyond the image is clipped; farther out it is an error.
"""

import dataclasses
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxrl_envs.gui.screenspot_boxes import (
    MAX_OVERHANG,
    Box,
    check_bbox_format,
    detect_bbox_format,
    parse_box_numbers,
    parse_size,
    place_box,
    show,
)
from jaxrl_envs.gui.screenspot_files import (
    AnnotationFile,
    Row,
    annotation_file,
    find_annotation_files,
    image_roots,
    read_rows,
    resolve_image,
)
from jaxrl_envs.gui.screenspot_images import (
    MAX_PIXELS,
    check_image_bytes,
    decode_image_bytes,
    load_image,
    read_file_bytes,
    show_path,
)
from jaxrl_envs.gui.training_rows import (
    is_training_row,
    read_dataset_list,
    sample_rows,
    training_box,
    training_size,
)
from jaxrl_rewards.core.errors import InputError

__all__ = ["ScreenSpotRecord", "ScreenSpotSet", "load_screenspot"]

DATA_TYPES = ("text", "icon", "unknown")
CACHE_BYTES = 256 * 1024 * 1024

_COMMON_KEYS = ("instruction", "platform", "group", "img_size")
_SCREENSPOT_KEYS = ("img_filename", "bbox", "bbox_format")
_TRAINING_KEYS = ("image_path", "abs_box", "rela_box", "width", "height")
_TYPE_KEYS = ("data_type", "ui_type")
_SOURCE_KEYS = ("data_source", "application")
RESERVED_KEYS = frozenset(_COMMON_KEYS + _SCREENSPOT_KEYS + _TYPE_KEYS + _SOURCE_KEYS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScreenSpotRecord:
    """One instruction on one screenshot.

    Attributes:
        image_path: where the image lies.
        image_name: the image as the annotation file names it, relative.
        instruction: what to point at, as text.
        box: (x1, y1, x2, y2), pixels of the original image, inside it and with area.
        data_type: "text" or "icon"; "unknown" where the layout does not say.
        data_source: ScreenSpot's data_source, or Pro's application.
        platform: "mobile", "desktop", "web" (from the file's name) or as Pro states it; or "".
        group: Pro's group of applications, or "".
        image_size: (width, height) in pixels.
        extra: every other key of the record, as read.
    """

    image_path: Path
    image_name: str
    instruction: str
    box: Box
    image_size: tuple[int, int]
    data_type: str = "unknown"
    data_source: str = ""
    platform: str = ""
    group: str = ""
    extra: Mapping = dataclasses.field(default_factory=dict, hash=False)


@dataclasses.dataclass(frozen=True)
class ScreenSpotSet:
    """Records in the order of their files, their images on demand, and what was left out."""

    records: tuple[ScreenSpotRecord, ...]
    problems: tuple[str, ...] = ()
    max_pixels: int = MAX_PIXELS
    _cache: OrderedDict = dataclasses.field(
        default_factory=OrderedDict, repr=False, compare=False, hash=False
    )

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records)

    def image(self, record: ScreenSpotRecord) -> np.ndarray:
        """Return the record's image, read-only uint8[H, W, 3]; the last ones used are kept.

        Raises `InputError` where the file has become unreadable, or has another size than when
        the set was loaded.
        """
        path = record.image_path
        if path in self._cache:
            self._cache.move_to_end(path)
            return self._cache[path]
        pixels = load_image(path, self.max_pixels)
        width, height = record.image_size
        if pixels.shape[:2] != (height, width):
            raise InputError(
                f"{show_path(path)} is {pixels.shape[1]}x{pixels.shape[0]} but its record says "
                f"{width}x{height}; load the set again"
            )
        pixels.setflags(write=False)
        self._cache[path] = pixels
        while len(self._cache) > 1 and sum(a.nbytes for a in self._cache.values()) > CACHE_BYTES:
            self._cache.popitem(last=False)
        return pixels

    def by_image(self) -> dict[Path, tuple[ScreenSpotRecord, ...]]:
        """Return the records of each image, images in order of first use."""
        groups: dict[Path, list[ScreenSpotRecord]] = {}
        for record in self.records:
            groups.setdefault(record.image_path, []).append(record)
        return {path: tuple(records) for path, records in groups.items()}

    def summary(self) -> dict:
        """Return counts: records, images, problems, by type, by platform and type, by size."""
        platforms: dict[str, Counter] = {}
        for record in self.records:
            key = record.platform or "unknown"
            platforms.setdefault(key, Counter())[record.data_type] += 1
        images = {record.image_path: record.image_size for record in self.records}
        return {
            "records": len(self.records),
            "images": len(images),
            "problems": len(self.problems),
            "by_type": dict(Counter(record.data_type for record in self.records)),
            "by_platform": {name: dict(counts) for name, counts in platforms.items()},
            "image_sizes": dict(Counter(f"{w}x{h}" for w, h in images.values())),
        }


def load_screenspot(
    path: str | Path,
    bbox_format: str = "auto",
    *,
    image_dir: str | Path | None = None,
    strict: bool = True,
    max_overhang: float = MAX_OVERHANG,
    max_pixels: int = MAX_PIXELS,
    check_images: str = "quick",
    seed: int = 0,
) -> ScreenSpotSet:
    """Load a grounding set and check every record.

    Args:
        path: a folder, a .json or .jsonl file, or a .yaml list of such files.
        bbox_format: "xywh", "xyxy" (pixels), "xywh_normalised", "xyxy_normalised" (shares of the
            image), or "auto": the one format that fits all boxes of the file. Where several fit,
            `InputError` asks for it. Training rows name their formats by their keys.
        image_dir: where the images are; by default beside the file or in the known sub-folders.
        strict: raise on the first bad record; False leaves bad records and files out and lists
            them in `problems`.
        max_overhang: pixels by which a box may reach beyond the image; that part is clipped.
        max_pixels: larger images are refused.
        check_images: "quick" reads each image file and checks signature, size, PNG checksums and
            the JPEG end marker; "full" decodes each image as well.
        seed: for `random:n` in a YAML list.

    Returns:
        The set, with at least one record.

    Raises:
        InputError: one sentence that names the file, the record, the field, the value and the
            remedy. Files are only read, never written.
    """
    if check_images not in ("quick", "full"):
        raise InputError(f"check_images is {show(check_images)}; use 'quick' or 'full'")
    check_bbox_format(bbox_format)
    folder = _existing_folder(image_dir) if image_dir is not None else None
    loader = _Loader(bbox_format, folder, strict, max_overhang, max_pixels, check_images == "full")
    for file in _annotation_files(path):
        loader.load(file, seed)
    if not loader.records:
        first = f"; the first problem: {loader.problems[0]}" if loader.problems else ""
        raise InputError(f"{show_path(path)} holds no usable record{first}")
    return ScreenSpotSet(tuple(loader.records), tuple(loader.problems), max_pixels)


def _existing_folder(folder: str | Path) -> Path:
    try:
        if Path(folder).is_dir():
            return Path(folder)
    except (OSError, ValueError, TypeError):
        pass
    raise InputError(f"image_dir {show_path(folder)} is not a folder; check the name")


def _annotation_files(path: str | Path) -> list[AnnotationFile]:
    try:
        place = Path(path)
        is_folder, exists = place.is_dir(), place.exists()
    except (OSError, ValueError, TypeError):
        raise InputError(f"{show_path(path)} is not a usable path; check the name") from None
    if is_folder:
        return find_annotation_files(place)
    if not exists:
        raise InputError(f"{show_path(path)} does not exist; give a folder or an annotation file")
    if place.suffix.lower() in (".yaml", ".yml"):
        return read_dataset_list(place)
    if place.suffix.lower() not in (".json", ".jsonl"):
        raise InputError(
            f"{show_path(path)} is not an annotation file; give a folder, .json, .jsonl or .yaml"
        )
    return [annotation_file(place)]


@dataclasses.dataclass(frozen=True)
class _Draft:
    """A row whose image and texts are good; the box is still as written."""

    label: str
    row: dict
    fields: dict
    numbers: Box | None  # None for training rows, whose box fields name their own format


class _Loader:
    """The state of one call of `load_screenspot`."""

    def __init__(self, bbox_format, image_dir, strict, max_overhang, max_pixels, decode):
        self.bbox_format, self.image_dir, self.strict = bbox_format, image_dir, strict
        self.max_overhang, self.max_pixels, self.decode = max_overhang, max_pixels, decode
        self.records: list[ScreenSpotRecord] = []
        self.problems: list[str] = []
        self._sizes: dict[Path, tuple[int, int] | InputError] = {}

    def load(self, file: AnnotationFile, seed: int) -> None:
        """Read one file into `records` and `problems`."""
        try:
            rows = sample_rows(read_rows(file.path), file.sampling, seed)
        except InputError as error:
            return self._fault(error)
        roots = image_roots(file.path, self.image_dir)
        drafts = []
        for row in rows:
            try:
                drafts.append(self._draft(row, file, roots))
            except InputError as error:
                self._fault(error, file, row.label)
        try:
            bbox_format = self._file_format(drafts)
        except InputError as error:
            return self._fault(error, file)
        for draft in drafts:
            try:
                box = self._place(draft, bbox_format)
                self.records.append(ScreenSpotRecord(box=box, **draft.fields))
            except InputError as error:
                self._fault(error, file, draft.label)
        return None

    def _fault(self, error: InputError, file: AnnotationFile | None = None, label: str = ""):
        parts = [show_path(file.path)] if file else []
        parts += [label] if label else []
        sentence = ": ".join([*parts, str(error)])
        if self.strict:
            raise InputError(sentence) from None
        self.problems.append(sentence)

    def _draft(self, row: Row, file: AnnotationFile, roots: list[Path]) -> _Draft:
        value = row.value
        if not isinstance(value, dict):
            raise InputError(f"it is {show(value)}; a record is an object with named fields")
        training = is_training_row(value)
        name_key = "image_path" if training else "img_filename"
        numbers = None if training else _field(value, "bbox", parse_box_numbers)
        name, path = _field(value, name_key, lambda name: resolve_image(name, roots))
        size = _field(value, name_key, lambda _: self._image_size(path))
        self._check_stated_size(value, training, size)
        if "bbox_format" in value and not training:
            _field(value, "bbox_format", lambda stated: check_bbox_format(stated, auto=False))
        type_key = "ui_type" if "ui_type" in value and "data_type" not in value else "data_type"
        source_key = "data_source" if "data_source" in value else "application"
        layout_keys = _TRAINING_KEYS if training else _SCREENSPOT_KEYS
        used = {type_key, source_key, *_COMMON_KEYS, *layout_keys}
        fields = {
            "image_path": path,
            "image_name": name,
            "image_size": size,
            "instruction": _field(value, "instruction", _instruction),
            "data_type": _field(value, type_key, _data_type, required=not training),
            "data_source": _field(value, source_key, _text, required=False),
            "platform": _field(value, "platform", _text, required=False) or file.platform,
            "group": _field(value, "group", _text, required=False),
            "extra": {key: item for key, item in value.items() if key not in used},
        }
        fields["data_type"] = fields["data_type"] or "unknown"
        return _Draft(row.label, value, fields, numbers)

    def _image_size(self, path: Path) -> tuple[int, int]:
        if path not in self._sizes:
            try:
                data = read_file_bytes(path)
                self._sizes[path] = check_image_bytes(data, self.max_pixels)
                if self.decode:
                    decode_image_bytes(data, self.max_pixels)
            except InputError as error:
                self._sizes[path] = error
        size = self._sizes[path]
        if isinstance(size, InputError):
            raise InputError(f"{show_path(path.name)}: {size}")
        return size

    def _check_stated_size(self, row: dict, training: bool, size: tuple[int, int]) -> None:
        stated, field = None, "img_size"
        if "img_size" in row:
            stated = _field(row, "img_size", _size_pair)
        elif training:
            stated, field = training_size(row), "width, height"
        if stated is not None and stated != size:
            raise InputError(
                f"field {field!r} says {stated[0]}x{stated[1]} but the image is "
                f"{size[0]}x{size[1]}; correct it or supply the right image"
            )

    def _file_format(self, drafts: list[_Draft]) -> str:
        drafts = [draft for draft in drafts if draft.numbers is not None]
        if self.bbox_format != "auto":
            return self.bbox_format
        stated = {d.row["bbox_format"]: 0 for d in drafts if "bbox_format" in d.row}
        if len(stated) > 1:
            raise InputError(
                f"field 'bbox_format' differs between records ({' and '.join(stated)}); write one "
                "format per file"
            )
        if stated:
            return next(iter(stated))
        pro = all("ui_type" in draft.row and "img_size" in draft.row for draft in drafts)
        boxes = [(draft.numbers, draft.fields["image_size"]) for draft in drafts]
        return detect_bbox_format(boxes, "xyxy" if pro and drafts else None, self.max_overhang)

    def _place(self, draft: _Draft, bbox_format: str) -> Box:
        size = draft.fields["image_size"]
        if draft.numbers is None:
            return training_box(draft.row, size, self.max_overhang)
        numbers = draft.numbers
        return _field(
            draft.row, "bbox", lambda _: place_box(numbers, bbox_format, size, self.max_overhang)
        )


def _field(row: dict, key: str, parse, *, required: bool = True):
    """Parse one field; a fault names it. An optional field that is absent or null gives ""."""
    if key not in row or (row[key] is None and not required):
        if not required:
            return ""
        raise InputError(f"field {key!r} is missing; add it or remove the record")
    try:
        return parse(row[key])
    except InputError as error:
        raise InputError(f"field {key!r}: {error}") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InputError(f"{show(value)} is not text; write it in quotation marks")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InputError(f"{show(value)} holds half a surrogate pair; write it anew") from None
    return value


def _instruction(value: object) -> str:
    if not _text(value).strip():
        raise InputError(f"{show(value)} is blank; describe the element or remove the record")
    return value


def _data_type(value: object) -> str:
    if not isinstance(value, str) or value not in DATA_TYPES:
        raise InputError(f"{show(value)} is not one of {', '.join(DATA_TYPES)}; correct it")
    return value


def _size_pair(value: object) -> tuple[int, int]:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise InputError(f"{show(value)} is not [width, height]; correct it")
    return parse_size(value[0]), parse_size(value[1])
