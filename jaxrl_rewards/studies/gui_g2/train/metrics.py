"""Click accuracy by page family, type and size, with intervals over page families."""

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

VARIANTS = [
    "nodelay",
    "easy",
    "medium",
    "hard",
    "large",
    "soft",
    "transfer",
    "dynamic",
    "all",
    "some",
    "popup",
    "sequence",
]
TABLES = (
    "family", "type", "platform and type", "application", "group", "element", "size", "length",
)  # fmt: skip
ALIASES = {"button-delay": "click-button", "unicode-test": "click-button"}
"""Pages of the web set that are another page with one thing changed."""


def page_family(image_name: str) -> str:
    """Return the family of a page from its file name.

    The end number (one page drawn several times) goes, and for `miniwob_...` names also endings
    that mark variants of one page: book-flight and book-flight-nodelay, click-checkboxes-large and
    -soft, read-table and read-table-2 belong together.
    """
    stem = re.sub(r"\.[A-Za-z]+$", "", image_name.replace("\\", "/").rsplit("/", 1)[-1])
    stem = re.sub(r"[_-]\d+$", "", stem) or stem
    if not stem.startswith("miniwob_"):
        return stem
    name = stem.removeprefix("miniwob_")
    while (ending := name.rpartition("-"))[0] and (ending[2] in VARIANTS or ending[2].isdigit()):
        name = ending[0]
    return ALIASES.get(name, name)


def inside(point: np.ndarray, box: Sequence[float]) -> bool:
    """Whether (x, y) lies in (x1, y1, x2, y2), edges included."""
    return bool(box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3])


def size_class(box: Sequence[float]) -> str:
    """Class of an element by its height in pixels."""
    height = box[3] - box[1]
    return "below 12 px" if height < 12 else "12-24 px" if height < 24 else "24 px and above"


def family_interval(
    hits: Sequence[bool], families: Sequence[str], *, resamples: int = 4000, seed: int = 0
) -> tuple[float, float]:
    """95 % bootstrap interval of the share of hits; whole families are drawn again."""
    names = sorted(set(families))
    place = {name: index for index, name in enumerate(names)}
    index = np.array([place[name] for name in families])
    totals = np.bincount(index, minlength=len(names)).astype(np.float64)
    good = np.bincount(index, weights=np.asarray(hits, np.float64), minlength=len(names))
    picks = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    shares = good[picks].sum(axis=1) / totals[picks].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def page_mean(
    hits: Sequence[bool], pages: Sequence[str], *, resamples: int = 4000, seed: int = 0
) -> dict:
    """Mean over pages of each page's share of hits, its 95 % bootstrap interval, pages."""
    names, index = np.unique(np.asarray(pages), return_inverse=True)
    shares = np.bincount(index, weights=np.asarray(hits, np.float64)) / np.bincount(index)
    picks = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    low, high = np.quantile(shares[picks].mean(axis=1), [0.025, 0.975])
    return {
        "accuracy": float(shares.mean()),
        "interval": [float(low), float(high)],
        "count": len(names),
    }


def set_family(record, several: bool) -> str:
    """Family of a record's page: as the record says, else from the file's name; where a set has
    `several` applications, those of different ones stay apart."""
    stated = record.extra.get("page_family")
    if stated:
        return str(stated)
    family = page_family(record.image_name)
    return f"{record.data_source}: {family}" if several and record.data_source else family


def share_row(rows: list[dict]) -> dict:
    """Accuracy, interval over families, count, median distance in pixels of a set of rows."""
    if not rows:
        return {"accuracy": None, "interval": None, "count": 0, "families": 0}
    families = [row["family"] for row in rows]
    hits = [row["hit"] for row in rows]
    return {
        "accuracy": float(np.mean(hits)),
        "interval": list(family_interval(hits, families)),
        "count": len(rows),
        "families": len(set(families)),
        "median_distance": float(np.median([row["distance"] for row in rows])),
    }


def group_rows(rows: list[dict], key: str) -> dict:
    """`share_row` of each value of `key`."""
    groups = defaultdict(list)
    for row in rows:
        if row.get(key) not in (None, ""):
            groups[str(row[key])].append(row)
    return {name: share_row(groups[name]) for name in sorted(groups)}


def summarise(rows: list[dict]) -> dict:
    """Everything that a report needs from rows of `evaluate.measure`."""
    unseen = [row for row in rows if not row["seen"]]
    tables = {f"by_{key.replace(' ', '_')}": group_rows(rows, key) for key in TABLES}
    pages = page_mean([row["hit"] for row in rows], [row["image"] for row in rows]) if rows else {}
    return {"overall": share_row(rows), "by_page": pages, "unseen": share_row(unseen), **tables}
