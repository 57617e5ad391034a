"""What the studies last measured, as one small file that goes into the package.

    python -m benchmarks.shipped            # rewrite jaxrl_rewards/assets/study_results.json
    python -m benchmarks.shipped --check    # exit code 1 when it is out of date

It is made from the `study-*.json` below `benchmarks/results/`; `jaxrl-rewards list` shows it where
the package is installed without its checkout.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.commands.list import KEPT, SHIPPED, last_results
from jaxrl_rewards.core.files import atomic_write_text

RESULTS = Path(__file__).resolve().parent / "results"
SECOND = ("verdict", "passed", "root_key", "seeds", "measured")
"""Kept of a study's run on a second key."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Rewrite or check the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 when out of date")
    options = parser.parse_args(arguments)
    text = shipped_text()
    if SHIPPED.is_file() and SHIPPED.read_text(encoding="utf-8") == text:
        print(f"{SHIPPED.name}: up to date")
        return 0
    if options.check:
        print(f"{SHIPPED.name}: out of date; run make tables")
        return 1
    atomic_write_text(SHIPPED, text)
    print(f"{SHIPPED.name}: rewritten")
    return 0


def shipped_text() -> str:
    """The file as it should be: every study's newest record, without its curves and arms."""
    kept = {slug: _kept(record) for slug, record in sorted(last_results(RESULTS).items())}
    return json.dumps(kept, indent=1, sort_keys=True) + "\n"


def _kept(record: dict[str, Any]) -> dict[str, Any]:
    fields = {name: record[name] for name in ("slug", "passed", *KEPT) if name in record}
    second = fields.get("second_key")
    if isinstance(second, dict):
        fields["second_key"] = {name: second[name] for name in SECOND if name in second}
    return fields


if __name__ == "__main__":
    raise SystemExit(main())
