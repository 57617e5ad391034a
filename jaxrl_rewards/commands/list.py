"""`jaxrl-rewards list`: systems, worlds and last measured results."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.json_files import read_json


def main(arguments: Sequence[str]) -> int:
    """Print the tables, or everything as JSON with `--json`."""
    parser = argparse.ArgumentParser(
        prog="jaxrl-rewards list",
        description="The systems that are here, the worlds, and what each study last measured.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--results",
        type=Path,
        default=None,
        help="folder with study-*.json files (searched recursively); by default the checkout's "
        "benchmarks/results and ./runs",
    )
    options = parser.parse_args(arguments)
    report = collect(options.results)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        _print(report)
    return 0


def collect(results: Path | None = None) -> dict[str, Any]:
    """Per system its title, functions, worlds, claims, status and last measured result."""
    from jaxrl_envs import registry as worlds

    from jaxrl_rewards.studies import get, slugs

    measured = last_results(results)
    systems = {}
    for slug in slugs():
        study = get(slug)
        last = measured.get(slug)
        systems[slug] = {
            "title": study.title,
            "paper": study.paper,
            "functions": list(study.functions),
            "worlds": list(study.worlds),
            "claims": list(study.claims),
            "status": status(last),
            "last": None
            if last is None
            else {
                key: last.get(key)
                for key in (
                    "verdict",
                    "root_key",
                    "measured",
                    "required",
                    "interval",
                    "missed",
                    "seeds",
                    "seconds",
                    "date",
                    "command",
                    "commit",
                    "hardware",
                    "second_key",
                )
            },  # fmt: skip
        }
    return {"systems": systems, "worlds": worlds.describe()}


def status(last: dict[str, Any] | None) -> str:
    """In words what a study last measured, its second key included."""
    if last is None:
        return "not measured here"
    first = short(last)
    second = last.get("second_key")
    return first if second is None else f"{first}; on a second key: {short(second)}"


def short(record: dict[str, Any]) -> str:
    """ "holds", "fails" or "too few seeds to judge"."""
    if record.get("verdict", "").startswith("too few"):
        return record["verdict"]
    return "holds" if record["passed"] else "fails"


def last_results(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """The newest `study-*.json` per slug below `folder`, else below the usual places."""
    checkout = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
    roots = [folder] if folder is not None else [checkout, Path("runs")]
    found: dict[str, dict[str, Any]] = {}
    for root in roots:
        for path in sorted(root.rglob("study-*.json")) if root.is_dir() else []:
            try:
                record = read_json(path, dict)
                slug, date = record["slug"], record["date"]
            except (ValueError, KeyError, TypeError, OSError):
                continue
            if slug not in found or date >= found[slug]["date"]:
                found[slug] = record
    return found


def _print(report: dict[str, Any]) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    systems = Table(title="systems")
    for column in ("slug", "title", "claim", "last measured"):
        systems.add_column(column, overflow="fold")
    for slug, system in report["systems"].items():
        last = system["last"]
        when = "" if last is None else f"{last['date']}, {last['seeds']} seeds, {last['seconds']} s"
        systems.add_row(slug, system["title"], system["status"], when)
    console.print(systems)
    table = Table(title="worlds")
    table.add_column("name")
    table.add_column("what it is", overflow="fold")
    worlds = report["worlds"]
    rows = worlds.items() if isinstance(worlds, dict) else [(w["name"], w) for w in worlds]
    for name, world in rows:
        table.add_row(name, world if isinstance(world, str) else str(world.get("summary", "")))
    console.print(table)
