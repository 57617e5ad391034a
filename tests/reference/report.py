"""Counts of reference vectors that hold, and the largest errors, per system.

    python -m tests.reference.report [--out parity-reference.json] [folder ...]

Without a folder, the vectors beside the tests are run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.files import atomic_write_json
from jaxrl_rewards.studies.provenance import provenance
from tests.reference.vectors import ABSOLUTE, DATA, RELATIVE, compare, read_cases, run_case


def report(folders: Sequence[Path] = (DATA,)) -> list[dict[str, Any]]:
    """One row per file: `system, cases, passed, max_error, worst_function, failures`."""
    rows = []
    for folder in folders:
        for file in sorted(Path(folder).glob("*.json")):
            cases = read_cases(file)
            passed, worst, worst_function, failures = 0, 0.0, None, []
            for case in cases:
                try:
                    error, complaints = compare(run_case(case), case.expected)
                except Exception as problem:  # any failure of a case is a result
                    failures.append(f"{case.name}: {type(problem).__name__}: {problem}")
                    continue
                if complaints:
                    failures.append(f"{case.name}: {complaints[0]}")
                passed += not complaints
                if error >= worst:
                    worst, worst_function = error, case.function
            rows.append(
                {
                    "system": cases[0].system if cases else file.stem,
                    "cases": len(cases),
                    "passed": passed,
                    "max_error": worst,
                    "worst_function": worst_function,
                    "failures": failures,
                }
            )
    return rows


def write_report(
    rows: list[dict[str, Any]], path: Path, command: str, seconds: float = 0.0
) -> None:
    """Write the rows, the rule they were judged by, and where and when they were made."""
    content = {
        "name": "reference",
        "rule": f"|a - b| <= {RELATIVE:g} |b| + {ABSOLUTE:g}, float32",
        "error": f"|a - b| / (|b| + {ABSOLUTE / RELATIVE:g})",
        "required": RELATIVE,
        "rows": rows,
        **provenance(command, seconds),
    }
    atomic_write_json(path, content)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, write the file where asked; 1 when a vector fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="*", type=Path, help="folders of vector files")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    rows = report(options.folder or [DATA])
    seconds = time.monotonic() - begun
    print(f"{'system':24} {'passed':>10} {'max error':>10}  at")
    for row in rows:
        share = f"{row['passed']}/{row['cases']}"
        print(f"{row['system']:24} {share:>10} {row['max_error']:10.1e}  {row['worst_function']}")
        for failure in row["failures"]:
            print(f"    {failure}")
    if options.out is not None:
        command = f"python -m tests.reference.report --out {options.out.name}"
        write_report(rows, options.out, command, seconds)
    return 0 if all(row["passed"] == row["cases"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
