"""Click accuracy of a reader on a ScreenSpot folder or on generated screens, with controls."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_path, atomic_write_json
from jaxrl_rewards.studies.gui_g2.train import controls
from jaxrl_rewards.studies.gui_g2.train.checkpoint import ReaderCheckpoint, load_checkpoint
from jaxrl_rewards.studies.gui_g2.train.config import PointingConfig
from jaxrl_rewards.studies.gui_g2.train.metrics import (
    TABLES,
    family_interval,
    group_rows,
    inside,
    set_family,
    share_row,
    size_class,
    summarise,
)
from jaxrl_rewards.studies.gui_g2.train.pointers import make_pointer, point_at_records
from jaxrl_rewards.studies.gui_g2.train.predict import SMALL_PIXELS, predict_image
from jaxrl_rewards.studies.gui_g2.train.predictions import read_predictions

Progress = Callable[[str, int, int], None]


def _row(checkpoint, instruction, box, where, shape, family, kind, element, image, **more) -> dict:
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    return {
        "image": image,
        "family": family,
        "type": kind,
        "element": element,
        "size": size_class(box),
        "length": "above 24 characters" if len(instruction) > 24 else "up to 24 characters",
        "instruction": instruction,
        "seen": checkpoint.has_seen(instruction),
        "box": [float(value) for value in box],
        "point": [float(value) if np.isfinite(value) else None for value in where],
        "shape": [int(value) for value in shape[:2]],
        "distance": _distance(where, centre),
        "hit": bool(np.isfinite(where).all()) and inside(where, box),
        **more,
    }


def _distance(where, centre) -> float:
    """In pixels; no answer is as far as a screen is wide."""
    far = float(np.hypot(where[0] - centre[0], where[1] - centre[1]))
    return far if np.isfinite(far) else 1e4


def measure(
    checkpoint: ReaderCheckpoint, shots, progress: Progress | None = None, pointer=None
) -> list[dict]:
    """Point at every record of a `ScreenSpotSet`; one dict per record.

    `pointer` is of `pointers.make_pointer`; None: the checkpoint's own reader.
    """
    note = None if progress is None else lambda done, total: progress("pointing", done, total)
    pointer = make_pointer(checkpoint.params, "own") if pointer is None else pointer
    return _rows(checkpoint, shots, point_at_records(pointer, shots, note))


def measure_predictions(checkpoint: ReaderCheckpoint, shots, points: np.ndarray) -> list[dict]:
    """Rows for the points float[n, 2] of another model, NaN where it gave none."""
    given = (
        (record, record.image_size[::-1], where, bool(np.isfinite(where).all()), "predictions")
        for record, where in zip(shots.records, points, strict=True)
    )
    return _rows(checkpoint, shots, given)


def _rows(checkpoint: ReaderCheckpoint, shots, given: Iterable[tuple]) -> list[dict]:
    several = len({record.data_source for record in shots.records}) > 1
    rows = []
    for record, shape, where, found, policy in given:
        platform = record.platform or "unknown"
        more = {
            "platform and type": f"{platform}, {record.data_type}",
            "application": record.data_source,
            "group": record.group,
            "found": found,
            "policy": policy,
        }
        element = str(record.extra.get("element", "unknown"))
        rows.append(
            _row(checkpoint, record.instruction, record.box, where, shape,
                 set_family(record, several), record.data_type, element, record.image_name, **more)
        )  # fmt: skip
    return rows


def measure_generated(
    checkpoint: ReaderCheckpoint,
    count: int = 60,
    seed: int = 0,
    progress: Progress | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Point at every text of generated screens with words of their own; rows and images.

    Of large screens, `size` (width, height), there are fewer: they hold more texts.
    """
    from jaxrl_rewards.studies.gui_g2.train.data import make_screens

    if size is not None:
        count = max(4, min(count, round(count * SMALL_PIXELS / (size[0] * size[1]))))
    pool = make_screens(PointingConfig(seed=seed), held_out=True, count=count, size=size)
    rows, images = [], {}
    for index, pixels in enumerate(pool.pixels):
        name = f"generated-{index}"
        images[name] = pixels
        points = predict_image(checkpoint.params, pixels, pool.texts[index])
        for k, where in enumerate(points):
            boxes = [box for box in pool.boxes[index][k] if box[2] > box[0]]
            right = [box for box in boxes if inside(where, box)]
            rows.append(
                _row(checkpoint, pool.texts[index][k], (right or boxes)[0], where, pixels.shape,
                     name, "text", pool.kinds[index][k], name)
            )  # fmt: skip
        if progress:
            progress("pointing", index + 1, count)
    return rows, images


def measure_controls(
    checkpoint: ReaderCheckpoint, rows: list[dict], image_of: Callable,
    progress: Progress | None = None,
) -> dict:  # fmt: skip
    """Accuracy, overall and on unseen instructions, of all controls on the same rows."""
    boxes = np.array([row["box"] for row in rows])
    shapes = np.array([row["shape"] for row in rows], np.float64)
    families = [row["family"] for row in rows]
    folds = controls.family_folds(families)
    texts = [row["instruction"] for row in rows]
    names = [row["image"] for row in rows]
    order = list(dict.fromkeys(names))
    rows_of: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        rows_of.setdefault(name, []).append(index)
    groups = [boxes[rows_of[name]] for name in order]
    image_folds = np.array([folds[rows_of[name][0]] for name in order])
    note = None if progress is None else lambda done, total: progress("controls", done, total)
    pixel_hits = controls.pixels_only(
        checkpoint.params, map(image_of, order), groups, image_folds, progress=note
    )
    pixel_rows = np.zeros(len(rows), bool)
    for name, hits in zip(order, pixel_hits, strict=True):
        pixel_rows[rows_of[name]] = hits
    found = {
        "constant position": controls.constant_position(boxes, shapes, folds),
        "instruction only": controls.instruction_only(texts, boxes, shapes, folds),
        "pixels only": pixel_rows,
    }
    unseen = np.array([not row["seen"] for row in rows])
    result = {}
    for name, hits in found.items():
        result[name] = {
            "accuracy": float(hits.mean()),
            "interval": list(family_interval(hits, families)),
            "unseen": float(hits[unseen].mean()) if unseen.any() else None,
        }
    result["pixel ceiling"] = {"accuracy": controls.pixel_ceiling(names, boxes)}
    return result


def evaluate(
    checkpoint_path=None,
    data_path=None,
    out_dir="runs/evaluate-gui",
    *,
    with_controls: bool | None = None,
    bbox_format: str = "auto",
    predictions=None,
    reader: str = "auto",
    choice=None,
    cache=None,
    size: tuple[int, int] | None = None,
    show: bool = True,
) -> dict:
    """Measure a policy, print a table, and write `results.json`, `pointing.png` into `out_dir`.

    Args:
        checkpoint_path: .npz of training; None: the one that ships with the package.
        data_path: folder or file in a ScreenSpot layout; None: 60 generated screens, whose words
            are not those of training.
        out_dir: made where missing.
        with_controls: train and measure the controls too (about two minutes of one core for 500
            elements); None: where `data_path` is given, `predictions` are not, and the screens are
            small.
        bbox_format: of the annotation files, see `load_screenspot`.
        predictions: file with the points or boxes of another model, see `read_predictions`.
        reader: "auto", "own" or "ocr", see `make_pointer`.
        choice: checkpoint of the choice among candidates; None: the shipped one.
        cache: folder where the library's readings are kept.
        size: (width, height) of generated screens; the generator's own when None.
        show: print progress and the table.

    Returns:
        `overall`, `by_page` (mean over pages), `unseen`, `by_family`, `by_type`,
        `by_platform_and_type`, `by_application`, `by_group`, `by_element`, `by_size`, `by_length`
        (accuracy, interval over page families, count each), `not_found` (share answered so),
        `policies`, `controls`, `rows`, `cpu_seconds`, `files`.
    """
    from jaxrl_rewards.studies.gui_g2.train.progress import ProgressReport

    cpu = time.process_time()
    checkpoint = load_checkpoint(checkpoint_path)
    shots = points = None
    if data_path is not None:
        from jaxrl_envs.gui.screenspot import load_screenspot

        shots = load_screenspot(data_path, bbox_format)
    if predictions is not None:
        if shots is None:
            raise InputError("predictions need the set they are for; give --data, too")
        points = read_predictions(predictions, shots)
    if with_controls is None:
        small = shots is not None and max(w * h for w, h in _sizes(shots)) <= SMALL_PIXELS
        with_controls = small and points is None
    pointer = make_pointer(checkpoint.params, reader, choice=choice, cache=cache)
    with ProgressReport(show) as report:

        def progress(what, done, total):
            report(what, done, total, {})

        if shots is None:
            rows, images = measure_generated(checkpoint, progress=progress, size=size)
            image_of = images.__getitem__
        else:
            rows = (
                measure(checkpoint, shots, progress, pointer)
                if points is None
                else measure_predictions(checkpoint, shots, points)
            )
            records = {record.image_name: record for record in shots.records}
            image_of = lambda name: shots.image(records[name])  # noqa: E731
        results = summarise(rows)
        results["controls"] = (
            measure_controls(checkpoint, rows, image_of, progress) if with_controls else {}
        )
    results["not_found"] = float(np.mean([not row.get("found", True) for row in rows]))
    results["policies"] = dict(Counter(row.get("policy", "own") for row in rows))
    results["checkpoint"] = "shipped" if checkpoint_path is None else str(checkpoint_path)
    results["data"] = "generated screens" if data_path is None else str(data_path)
    results["cpu_seconds"] = time.process_time() - cpu
    results["rows"] = rows
    return _written(results, Path(out_dir), image_of, show)


def _sizes(shots) -> set[tuple[int, int]]:
    return {record.image_size for record in shots.records}


def _written(results: dict, folder: Path, image_of: Callable, show: bool) -> dict:
    """Write the files, print the table."""
    files = {"results": folder / "results.json", "picture": folder / "pointing.png"}
    results["files"] = {name: str(path) for name, path in files.items()}
    draw_points(files["picture"], results["rows"], image_of)
    atomic_write_json(files["results"], results)
    if show:
        print(table_text(results))
        print(f"picture: {files['picture']}\nall figures: {files['results']}")
    return results


def draw_points(path, rows: list[dict], image_of: Callable, count: int = 12) -> None:
    """Draw `count` screens, families in turn: true boxes, and points (green hit, red miss)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    images: dict[str, list[dict]] = {}
    for row in rows:
        images.setdefault(row["image"], []).append(row)
    by_family: dict[str, list[str]] = {}
    for name, part in images.items():
        by_family.setdefault(part[0]["family"], []).append(name)
    families = sorted(by_family, key=lambda family: -len(images[by_family[family][0]]))
    chosen = [by_family[family][0] for family in families][:count]
    figure = Figure(figsize=(12, 5.6))
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 6, squeeze=False).ravel()
    for panel in panels:
        panel.axis("off")
    for panel, name in zip(panels, chosen, strict=False):
        panel.imshow(image_of(name), interpolation="nearest")
        for row in images[name]:
            x1, y1, x2, y2 = row["box"]
            colour = "#0a8f3c" if row["hit"] else "#d62222"
            frame = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, lw=0.9)
            panel.add_patch(frame)
            if None in row["point"]:
                continue
            panel.plot(*row["point"], "+", color=colour, ms=7, mew=1.4)
            if not row["hit"]:
                middle = ((x1 + x2) / 2, (y1 + y2) / 2)
                panel.plot(*zip(row["point"], middle, strict=True), "-", color=colour, lw=0.6)
        panel.set_title(images[name][0]["family"][:22], fontsize=7)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.95, bottom=0.01, wspace=0.03, hspace=0.08)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def table_text(results: dict) -> str:
    """Return the results as an aligned plain table."""
    lines = [f"{'':30} {'accuracy':>8}  {'95 % interval':>15}  {'n':>5}"]

    def add(name, part):
        if part.get("accuracy") is None:
            return
        interval = part.get("interval")
        span = f"[{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        lines.append(
            f"{name[:30]:30} {part['accuracy']:8.3f}  {span:>15}  {part.get('count', '')!s:>5}"
        )

    add("all instructions", results["overall"])
    if results["by_page"].get("count", 0) > 1:
        add("mean over pages", results["by_page"])
    if set(results["policies"]) == {"own"}:
        add("unseen in training", results["unseen"])
    for name, part in results["controls"].items():
        add(name, part)
    pages = () if results["data"] == "generated screens" else ("family",)
    for key in (*(key for key in TABLES if key != "family"), *pages):
        parts = results[f"by_{key.replace(' ', '_')}"]
        for name, part in parts.items() if len(parts) > 1 or key == "type" else ():
            add(name if key == "platform and type" else f"{key}: {name}", part)
    if results["not_found"]:
        lines.append(f"answered \"not found\" (the best guess counts above): "
                     f"{results['not_found']:.3f}")  # fmt: skip
    if "icon" in results["by_type"] and "predictions" not in results["policies"]:
        lines.append("icons: text only is read, so an icon is hit where text names it")
    return "\n".join(lines)


__all__ = [
    "draw_points", "evaluate", "group_rows", "measure", "measure_controls", "measure_generated",
    "measure_predictions", "share_row", "table_text",
]  # fmt: skip
