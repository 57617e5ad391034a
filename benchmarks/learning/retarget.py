"""What runs of `train retarget` reached, as a table and a JSON file.

    python -m benchmarks.learning.retarget RUN [RUN ...] [--out FILE] [--notes TEXT ...]

Each RUN is the folder of a run that has ended. A row says in which share of random starts the
avatar followed for 10 s, and holds its curve over the samples.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from jaxrl_rewards.core.errors import InputError

REQUIRED = {"human": 0.8}
"""Share of starts that a character is to follow."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Collect, print, store; 2 where a folder holds no run that has ended."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--notes", nargs="*", default=[])
    options = parser.parse_args(arguments)
    try:
        rows = [run_row(folder) for folder in options.runs]
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out = options.out or report.results_folder() / "bench-retarget-3d.json"
    report.write_benchmark(
        out,
        "retarget-3d",
        rows,
        command="; ".join(row["trained_by"] for row in rows),
        seconds=60.0 * sum(row["minutes"] for row in rows),
        load=[report.load()],
        notes=options.notes,
    )
    for row in rows:
        print(
            f"{row['what']}: {100 * row['ours']:.0f} % of {row['episodes']} (mean "
            f"{row['seconds']:.1f} s), keypoint error {row['keypoint_error']:.3f} m; "
            f"{row['samples'] / 1e6:.1f}M samples, {row['minutes']:.0f} min"
        )
    print(f"all figures: {out}")
    return 0


def run_row(folder: Path) -> dict[str, Any]:
    """The row of one run; InputError where its files are missing."""
    try:
        reached = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        task = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} holds no run of `train retarget` that has ended ({error}); wait for its "
            "evaluation.json"
        ) from error
    points = [json.loads(line) for line in lines]
    curve = [point for point in points if "evaluation/followed" in point]
    survival = reached["survival"]
    clips = ", ".join(name.removeprefix("deepmimic_humanoid3d_") for name in reached["clips"])
    return report.row(
        f"{reached['character']}, {clips}, seed {reached['seed']}: success rate, user followed for "
        f"{reached['episode_seconds']:.0f} s",
        survival["followed"],
        None,
        "none",
        "",
        required=REQUIRED.get(reached["character"]),
        episodes=reached["episodes"],
        seconds=survival["seconds"],
        keypoint_error=survival["keypoint_error"],
        joint_error=survival["joint_error"],
        samples=reached["samples"],
        minutes=max(reached["minutes"], points[-1]["seconds"] / 60.0 if points else 0.0),
        curve={
            "samples": [point["samples"] for point in curve],
            "seconds": [point["evaluation/seconds"] for point in curve],
            "followed": [point["evaluation/followed"] for point in curve],
        },
        trained_by=trained_by(task),
    )


def trained_by(stored: dict[str, Any]) -> str:
    """The command of a run, by the settings that differ from the defaults."""
    import dataclasses

    from jaxrl_rewards.studies.sparse_retargeting.train.task import RetargetTask

    task = stored.get("config", stored).get("task", {})
    default = json.loads(json.dumps(dataclasses.asdict(RetargetTask()), default=str))
    flags = []
    for name, value in task.items():
        if name == "env":
            for inner, given in value.items():
                if given not in (default["env"].get(inner), None) and inner != "physics":
                    given = given if isinstance(given, list) else [given]
                    shown = " ".join(Path(str(item)).name for item in given)
                    flags.append(f"--env.{inner.replace('_', '-')} {shown}")
        elif value != default.get(name) and value is not None:
            shown = " ".join(map(str, value)) if isinstance(value, list) else value
            flags.append(f"--{name.replace('_', '-')}" + ("" if value is True else f" {shown}"))
    return " ".join(["jaxrl-rewards train retarget", *flags])


if __name__ == "__main__":
    sys.exit(main())
