"""A small bar chart per benchmark: how many times better than each peer.

python -m benchmarks.charts
"""

from __future__ import annotations

import argparse
import io
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import ROOT, number, read_results
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_bytes

LIMIT_BYTES = 60_000
_OURS, _WORSE = "#2a6f97", "#c0562b"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw a chart of every `bench-*.json`; the newest wins where machines share a name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args(arguments)
    try:
        records = read_results(options.results, "bench-*.json")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    newest: dict[str, tuple[str, dict[str, Any]]] = {}
    for machine, record in records:
        stem = record["_file"].removesuffix(".json")
        if stem not in newest or record.get("date", "") >= newest[stem][1].get("date", ""):
            newest[stem] = (machine, record)
    for stem, (machine, record) in newest.items():
        data = chart(record, machine)
        if data is None:
            print(f"{stem}: nothing to compare")
            continue
        path = options.results / "images" / f"{stem}.png"
        atomic_write_bytes(path, data)
        print(path)
    return 0


def chart(record: dict[str, Any], machine: str) -> bytes | None:
    """PNG of the ratios of a benchmark's rows, at most `LIMIT_BYTES`; None without ratios."""
    rows = [row for row in record.get("rows", []) if row.get("ratio")]
    if not rows:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure = Figure(figsize=(8.0, 1.1 + 0.5 * len(rows)))
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    places = range(len(rows))
    ratios = [row["ratio"] for row in rows]
    colours = [_WORSE if ratio < (row["required"] or 1.0) else _OURS for ratio, row in zip(
        ratios, rows, strict=True
    )]  # fmt: skip
    axis.barh(places, [ratio - 1.0 for ratio in ratios], left=1.0, color=colours, height=0.62)
    for place, row in zip(places, rows, strict=True):
        text = f" {number(row['ratio'])}x: {number(row['ours'])} / {number(row['peer'])} "
        text += row["unit"]
        axis.text(max(row["ratio"], 1.0), place, text, va="center", fontsize=6.5)
        if row["required"]:
            axis.plot([row["required"]] * 2, [place - 0.4, place + 0.4], color="black", lw=1.4)
    labels = [textwrap.fill(f"{row['what']} vs {row['peer_name']}", 46) for row in rows]
    axis.set_yticks(places, labels, fontsize=6.5)
    axis.set_xscale("log")
    axis.set_xlim(min(0.5, *ratios) * 0.9, max(2.0, *ratios) * 6.0)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="x", labelsize=7)
    axis.axvline(1.0, color="black", lw=0.8)
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(
        f"{record.get('name', '')}: times better than the peer ({machine}, "
        f"{record.get('date', '')}); black: required",
        fontsize=8,
    )
    figure.tight_layout()
    return small_png(figure)


def small_png(figure: Any) -> bytes:
    """The figure as a PNG of 64 colours, with fewer dots per inch until it is small enough."""
    from PIL import Image

    for dots in (110, 90, 70, 50):
        raw = io.BytesIO()
        figure.savefig(raw, dpi=dots, format="png", metadata={"Software": None})
        raw.seek(0)
        packed = io.BytesIO()
        image = Image.open(raw).convert("RGB").quantize(64)
        image.save(packed, format="png", optimize=True)
        if packed.tell() <= LIMIT_BYTES:
            break
    return packed.getvalue()


if __name__ == "__main__":
    sys.exit(main())
