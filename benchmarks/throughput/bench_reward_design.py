"""What optimising a reward costs.

    python -m benchmarks.throughput.bench_reward_design [--sections ...] [--repetitions 9]

Each section is a module with `rows(options) -> list of rows`, imported when it runs. With
`--sections` the rows of the others are kept from the file as it is.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["PJRT_NPROC"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # compile times are part of what is measured
if __package__ in (None, ""):
    _root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(_root), str(_root / "envs")]

from benchmarks import report

SECTIONS: dict[str, str] = {
    "hypergradients": "benchmarks.throughput.hypergradient_rows",
    "programs": "benchmarks.throughput.bench_reward_programs",
}
NOTES = (
    "Costs are medians of ratios of neighbouring calls in one process with one XLA thread; errors "
    "are in float64, and the smaller the better.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sections and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--repetitions", type=int, default=9, help="at least 5 to quote")
    parser.add_argument("--quick", action="store_true", help="small sizes, not to be quoted")
    parser.add_argument("--out", type=Path, help="file to write; by default beside the results")
    options = parser.parse_args(arguments)
    given = sys.argv[1:] if arguments is None else list(arguments)
    path = options.out or report.results_folder() / "bench-reward-design.json"
    start, loads, rows = time.perf_counter(), [report.load()], kept_rows(path, options.sections)
    for name in options.sections:
        found = importlib.import_module(SECTIONS[name]).rows(options)
        report.print_rows(found)
        rows += [{**row, "section": name} for row in found]
        loads.append(report.load())
    rows.sort(key=lambda row: list(SECTIONS).index(row["section"]))
    report.write_benchmark(
        path,
        "reward-design",
        rows,
        command=report.command_line("benchmarks.throughput.bench_reward_design", given),
        seconds=time.perf_counter() - start,
        load=loads,
        settings={"xla_threads": 1, "quick": options.quick},
        notes=NOTES,
    )
    print(path)
    return 0


def kept_rows(path: Path, measured: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of the sections of an existing file that are not measured now."""
    if not path.exists():
        return []
    rows = json.loads(path.read_text(encoding="utf-8")).get("rows", [])
    return [row for row in rows if row.get("section") in set(SECTIONS) - set(measured)]


if __name__ == "__main__":
    sys.exit(main())
