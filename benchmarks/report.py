"""Rows and files of benchmark results.

A file `bench-<name>.json` holds `name, rows, command, seconds, commit, versions, hardware, date`
and `load`, the number of processes that wanted a core before, during and after the run: well above
1, timings were disturbed. A row holds `what, ours, peer, peer_name, unit, ratio,
required`. `ratio` is oriented so that above 1 is better than the peer (for a physical limit: the
share of it). Rows of repeated timings also hold `ours_best, peer_best, ratio_best, repetitions`.
"""

from __future__ import annotations

import os
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.files import atomic_write_json
from jaxrl_rewards.studies.provenance import hardware, provenance, versions

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("rejax", "gymnax", "brax", "distrax", "matplotlib", "pillow")


def results_folder() -> Path:
    """`benchmarks/results/<hardware id>` of this machine."""
    return RESULTS / hardware()["id"]


def row(
    what: str,
    ours: float | None,
    peer: float | None,
    peer_name: str,
    unit: str,
    *,
    required: float | None = None,
    lower_is_better: bool = False,
    **extra: Any,
) -> dict[str, Any]:
    """One comparison; `ratio` is None where a side has no figure."""
    ratio = None
    if ours is not None and peer is not None and ours > 0 and peer > 0:
        ratio = peer / ours if lower_is_better else ours / peer
    return {
        "what": what,
        "ours": _rounded(ours),
        "peer": _rounded(peer),
        "peer_name": peer_name,
        "unit": unit,
        "ratio": _rounded(ratio),
        "required": required,
        "lower_is_better": lower_is_better,
        **extra,
    }


def timed_row(
    what: str,
    ours: Sequence[float],
    peer: Sequence[float],
    peer_name: str,
    unit: str,
    *,
    required: float | None = None,
    paired: bool = False,
    **extra: Any,
) -> dict[str, Any]:
    """A row of repeated rates (higher is better): medians, and beside them the best calls.

    `paired`: each of ours was measured in one breath with the peer's of the same number; the ratio
    is then the median of theirs, which a machine that changes its speed does not reach.
    """
    best = {
        "ours_best": _rounded(max(ours)),
        "peer_best": _rounded(max(peer)) if peer else None,
        "ratio_best": _rounded(max(ours) / max(peer)) if peer else None,
        "repetitions": len(ours),
        "ours_all": [_rounded(value) for value in ours],
        "peer_all": [_rounded(value) for value in peer],
    }
    middle = statistics.median(peer) if peer else None
    made = row(
        what, statistics.median(ours), middle, peer_name, unit, required=required, **best, **extra
    )
    if paired and peer:
        ratios = [one / other for one, other in zip(ours, peer, strict=True)]
        made["ratio"] = _rounded(statistics.median(ratios))
    return made


def write_benchmark(
    path: Path,
    name: str,
    rows: Sequence[dict[str, Any]],
    *,
    command: str,
    seconds: float,
    load: Sequence[float],
    settings: dict[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write a benchmark's JSON file in one step and return its path."""
    record = {"name": name, "rows": list(rows), "settings": settings or {}, "notes": list(notes)}
    record |= provenance(command, seconds)
    record["versions"] = versions(PACKAGES)
    record["load"] = [round(value, 1) for value in load]
    atomic_write_json(path, record)
    return path


def command_line(module: str, arguments: Sequence[str]) -> str:
    """The command to store: without `--out`, whose path means nothing elsewhere."""
    kept = list(arguments)
    while "--out" in kept:
        place = kept.index("--out")
        del kept[place : place + 2]
    return shlex.join(["python", "-m", module, *kept])


def load() -> float:
    """Mean number of processes that wanted a core in the last minute; 0 where unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """The rows as a plain table."""
    for entry in rows:
        ratio = "" if entry["ratio"] is None else f"{entry['ratio']:.3g}x"
        best = entry.get("ratio_best")
        required = entry["required"]
        text = f"{entry['what']}: {_short(entry['ours'])} against {_short(entry['peer'])}"
        text += f" {entry['unit']} ({entry['peer_name']}) {ratio}"
        text += f", best {best:.3g}x" if best is not None else ""
        text += f", required {required:g}" if required is not None else ""
        print(text, flush=True)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{float(value):.5g}")


def _short(value: float | None) -> str:
    return "none" if value is None else f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
