"""Click accuracy of a reader on a ScreenSpot folder or on generated screens, with controls."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxrl_rewards.core.files import atomic_path, atomic_write_json
from jaxrl_rewards.studies.gui_g2.train import controls
from jaxrl_rewards.studies.gui_g2.train.checkpoint import ReaderCheckpoint, load_checkpoint
from jaxrl_rewards.studies.gui_g2.train.config import PointingConfig
from jaxrl_rewards.studies.gui_g2.train.metrics import (
    family_interval,
    group_rows,
    inside,
    page_family,
    share_row,
    size_class,
    summarise,
)
from jaxrl_rewards.studies.gui_g2.train.predict import predict_image, predict_records

Progress = Callable[[str, int, int], None]


def _row(checkpoint, instruction, box, where, shape, family, kind, element, image) -> dict:
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
        "point": [float(value) for value in where],
        "shape": [int(value) for value in shape[:2]],
        "distance": float(np.hypot(where[0] - centre[0], where[1] - centre[1])),
        "hit": inside(where, box),
    }


def measure(checkpoint: ReaderCheckpoint, shots, progress: Progress | None = None) -> list[dict]:
    """Point at every record of a `ScreenSpotSet`; one dict per record."""
    rows = []
    note = None if progress is None else lambda done, total: progress("pointing", done, total)
    for record, shape, where in predict_records(checkpoint.params, shots, note):
        family = str(record.extra.get("page_family") or page_family(record.image_name))
        element = str(record.extra.get("element", "unknown"))
        rows.append(
            _row(checkpoint, record.instruction, record.box, where, shape, family,
                 record.data_type, element, record.image_name)
        )  # fmt: skip
    return rows


def measure_generated(
    checkpoint: ReaderCheckpoint, count: int = 60, seed: int = 0, progress: Progress | None = None
) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Point at every text of generated screens with words of their own; rows and images."""
    from jaxrl_rewards.studies.gui_g2.train.data import make_screens

    pool = make_screens(PointingConfig(seed=seed), held_out=True, count=count)
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
    groups = [boxes[[i for i, n in enumerate(names) if n == name]] for name in order]
    image_folds = np.array([folds[names.index(name)] for name in order])
    note = None if progress is None else lambda done, total: progress("controls", done, total)
    pixel_hits = controls.pixels_only(
        checkpoint.params, [image_of(name) for name in order], groups, image_folds, progress=note
    )
    pixel_rows = np.zeros(len(rows), bool)
    for name, hits in zip(order, pixel_hits, strict=True):
        pixel_rows[[i for i, other in enumerate(names) if other == name]] = hits
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
    show: bool = True,
) -> dict:
    """Measure a reader, print a table, and write `results.json`, `pointing.png` into `out_dir`.

    Args:
        checkpoint_path: .npz of training; None: the one that ships with the package.
        data_path: folder or file in a ScreenSpot layout; None: 60 generated screens, whose words
            are not those of training.
        out_dir: made where missing.
        with_controls: train and measure the controls too (about two minutes of one core for 500
            elements); None: where `data_path` is given.
        bbox_format: of the annotation files, see `load_screenspot`.
        show: print progress and the table.

    Returns:
        `overall`, `unseen`, `by_family`, `by_type`, `by_element`, `by_size`, `by_length` (accuracy,
        interval over page families, count each), `controls`, `rows`, `cpu_seconds`, `files`.
    """
    from jaxrl_rewards.studies.gui_g2.train.progress import ProgressReport

    cpu = time.process_time()
    checkpoint = load_checkpoint(checkpoint_path)
    shots = None
    if data_path is not None:
        from jaxrl_envs.gui.screenspot import load_screenspot

        shots = load_screenspot(data_path, bbox_format)
    if with_controls is None:
        with_controls = shots is not None
    with ProgressReport(show) as report:

        def progress(what, done, total):
            report(what, done, total, {})

        if shots is None:
            rows, images = measure_generated(checkpoint, progress=progress)
            image_of = images.__getitem__
        else:
            rows = measure(checkpoint, shots, progress)
            records = {record.image_name: record for record in shots.records}
            image_of = lambda name: shots.image(records[name])  # noqa: E731
        results = summarise(rows)
        results["controls"] = (
            measure_controls(checkpoint, rows, image_of, progress) if with_controls else {}
        )
    results["checkpoint"] = "shipped" if checkpoint_path is None else str(checkpoint_path)
    results["data"] = "generated screens" if data_path is None else str(data_path)
    results["cpu_seconds"] = time.process_time() - cpu
    results["rows"] = rows
    folder = Path(out_dir)
    files = {"results": folder / "results.json", "picture": folder / "pointing.png"}
    results["files"] = {name: str(path) for name, path in files.items()}
    draw_points(files["picture"], rows, image_of)
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
    add("unseen in training", results["unseen"])
    for name, part in results["controls"].items():
        add(name, part)
    pages = () if results["data"] == "generated screens" else ("family",)
    for key in ("type", "element", "size", "length", *pages):
        for name, part in results[f"by_{key}"].items():
            add(f"{key}: {name}", part)
    return "\n".join(lines)


__all__ = [
    "draw_points", "evaluate", "group_rows", "measure", "measure_controls", "measure_generated",
    "share_row", "table_text",
]  # fmt: skip
