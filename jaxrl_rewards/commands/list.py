"""`jaxrl-rewards list`: studies, environments and last measured results."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.commands.describe import describe_world, quantities_text, terms_of
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import read_json

SHIPPED = Path(__file__).resolve().parents[1] / "assets" / "study_results.json"
"""What the studies last measured, for installations without the checkout's results."""
KEPT = (
    "verdict", "root_key", "measured", "required", "interval", "missed", "seeds", "seconds",
    "date", "command", "commit", "hardware", "second_key",
)  # fmt: skip
"""Fields of a study's record that are listed."""


def main(arguments: Sequence[str]) -> int:
    """Print the tables, or everything as JSON with `--json`; or all about one world."""
    parser = argparse.ArgumentParser(
        prog="jaxrl-rewards list",
        description="The studies with what each last measured, and the environments (which the "
        "code calls worlds).",
    )
    parser.add_argument(
        "world", nargs="?", help="an environment: its spaces, reward terms and recipe"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--quantities",
        metavar="ENVIRONMENT",
        help="what a reward program may read in this environment, and how programs are written",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=None,
        help="folder with study-*.json files (searched recursively); by default the checkout's "
        "benchmarks/results and ./runs, or the results that came with the package",
    )
    options = parser.parse_args(arguments)
    if options.quantities is not None:
        print(_quantities(options.quantities, options.json))
        return 0
    if options.world is not None:
        found = describe_world(options.world)
        print(json.dumps(found, indent=2) if options.json else world_text(found))
        return 0
    report = collect(options.results)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        _print(report)
    return 0


def _quantities(name: str, as_json: bool) -> str:
    if not as_json:
        return quantities_text(name)
    return json.dumps(describe_world(name)["quantities"], indent=2)


def world_text(world: dict[str, Any]) -> str:
    """All about one world, for people."""
    lines = [f"{world['name']}: {world['summary']}", "", world["about"], "", "reward terms:"]
    width = max((len(term["name"]) for term in world["terms"]), default=0) + 2
    for term in world["terms"]:
        lines.append(f"  {term['name']:<{width}}weight {term['weight']:<8}{term['text']}")
    if world["preset"] is None:
        lines += ["", "recipe: none; `train ppo` starts from PPO's own defaults"]
    else:
        told = ", ".join(f"{key} {value}" for key, value in world["preset"].items())
        lines += ["", f"recipe (the defaults of `train ppo --env {world['name']}`): {told}"]
    if world["quantities"]:
        names = ", ".join(world["quantities"])
        lines += ["", f"reward programs may read: {names}", "explained by: "]
        lines[-1] += f"jaxrl-rewards list --quantities {world['name']}"
    return "\n".join(lines)


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
            "last": None if last is None else {key: last.get(key) for key in KEPT},
        }
    return {"systems": systems, "worlds": worlds.describe()}


def status(last: dict[str, Any] | None) -> str:
    """In words what a study last measured, its second key included."""
    if last is None:
        return "not measured here"
    first = short(last)
    second = last.get("second_key")
    return first if second is None else f"{first}; on a second random key: {short(second)}"


def short(record: dict[str, Any]) -> str:
    """ "holds", "fails" or "too few seeds to judge"."""
    if record.get("verdict", "").startswith("too few"):
        return record["verdict"]
    return "holds" if record["passed"] else "fails"


def last_results(folder: Path | None = None) -> dict[str, dict[str, Any]]:
    """The newest `study-*.json` per slug below `folder`, else below the usual places."""
    checkout = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
    roots = [folder] if folder is not None else [checkout, Path("runs")]
    found = {} if folder is not None or checkout.is_dir() else shipped_results()
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


def shipped_results() -> dict[str, dict[str, Any]]:
    """The results that came with the package, by slug; none where the file cannot be read."""
    try:
        return read_json(SHIPPED, dict)
    except ValueError:
        return {}


def _print(report: dict[str, Any]) -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    systems = Table(title="studies")
    for column in ("name", "title", "claim", "last measured"):
        systems.add_column(column, overflow="fold")
    for slug, system in report["systems"].items():
        last = system["last"]
        when = "" if last is None else f"{last['date']}, {last['seeds']} seeds, {last['seconds']} s"
        systems.add_row(slug, system["title"], system["status"], when)
    console.print(systems)
    table = Table(title="environments")
    table.add_column("name")
    table.add_column("what it is", overflow="fold")
    table.add_column("reward terms and weights", overflow="fold")
    for name, world in report["worlds"].items():
        table.add_row(name, world, _terms(name))
    console.print(table)
    console.print("all about one: jaxrl-rewards list ENVIRONMENT", highlight=False)


def _terms(name: str) -> str:
    """A world's reward terms in a line; where it needs a package that is missing, which one."""
    try:
        return ", ".join(f"{term} {weight}" for term, weight in terms_of(name).items())
    except InputError as error:
        return str(error).split(",")[0].split(";")[0]
