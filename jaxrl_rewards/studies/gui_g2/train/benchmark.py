"""Measure the pointing policy on real screenshots: seeds, controls, and what refinement adds.

    python -m jaxrl_rewards.studies.gui_g2.train.benchmark --data DIR

trains three seeds on generated screens, measures each on the ScreenSpot folder DIR with intervals
over page families, trains the controls, and refines each seed's early checkpoint by GRPO with the
Gaussian and with the binary reward, on equal budgets. Every seed's results are kept in `--work`
and not computed again; `--seed N` does one seed only (for two processes side by side).
"""

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np

from jaxrl_rewards.core.files import atomic_write_json
from jaxrl_rewards.studies.api import bootstrap_interval, difference_interval
from jaxrl_rewards.studies.gui_g2.train.checkpoint import (
    ReaderCheckpoint,
    corpus_hashes,
    load_checkpoint,
    save_checkpoint,
)
from jaxrl_rewards.studies.gui_g2.train.config import PointingConfig
from jaxrl_rewards.studies.gui_g2.train.data import make_screens
from jaxrl_rewards.studies.gui_g2.train.evaluation import measure, measure_controls
from jaxrl_rewards.studies.gui_g2.train.metrics import summarise
from jaxrl_rewards.studies.gui_g2.train.pretraining import pool_accuracy, pretrain
from jaxrl_rewards.studies.gui_g2.train.refinement import REWARDS, RefineConfig, refine_policy
from jaxrl_rewards.studies.gui_g2.train.training import checkpoint_metadata

WEAK_STEP = 80
REFINE_UPDATES = 60
RESULTS = Path("benchmarks/results/cpu-2core")


def note(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


def run_seed(seed: int, data, work: Path) -> dict:
    """Train and measure one seed, or read what an earlier call kept."""
    from jaxrl_envs.gui.screenspot import load_screenspot

    kept = work / f"seed-{seed}.json"
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))
    config = PointingConfig(seed=seed)

    def report(phase, done, total, row):
        if row:
            note(f"seed {seed} {phase} {done}/{total} {json.dumps(row)}")

    trained = pretrain(config, report, snapshots=(WEAK_STEP,))
    hashes = corpus_hashes(trained.corpus)
    held_out = make_screens(config, held_out=True, count=96)
    accuracy = pool_accuracy(trained.params, held_out)
    metadata = checkpoint_metadata(
        config, {"accuracy": accuracy, "refined": None, "cpu_seconds": trained.cpu_seconds}
    )
    save_checkpoint(work / f"seed-{seed}.npz", trained.params, hashes, metadata)
    weak = {"what": f"parameters after {WEAK_STEP} steps"}
    save_checkpoint(work / f"seed-{seed}-weak.npz", trained.snapshots[WEAK_STEP], hashes, weak)
    shots = load_screenspot(data)
    checkpoint = load_checkpoint(work / f"seed-{seed}.npz")
    summary = summarise(measure(checkpoint, shots))
    result = {
        "seed": seed,
        "cpu_seconds": trained.cpu_seconds,
        "wall_seconds": trained.wall_seconds,
        "generated": accuracy,
        "real": summary,
        "curves": trained.curves,
    }
    atomic_write_json(kept, result)
    overall, unseen = summary["overall"], summary["unseen"]
    note(
        f"seed {seed}: overall {overall['accuracy']:.3f} {overall['interval']}, unseen "
        f"{unseen['accuracy']:.3f} {unseen['interval']}, {trained.cpu_seconds:.0f} CPU seconds"
    )
    return result


def run_refinement(seed: int, data, work: Path, updates: int = REFINE_UPDATES) -> dict:
    """Refine a seed's early checkpoint with each reward, or read what an earlier call kept.

    Gives accuracies on held-out generated screens and on the real ones, and the median distance to
    the target's centre there.
    """
    from jaxrl_envs.gui.screenspot import load_screenspot

    kept = work / f"refine-{seed}.json"
    if kept.exists():
        return json.loads(kept.read_text(encoding="utf-8"))
    config = PointingConfig(seed=seed)
    shots = load_screenspot(data)
    weak = load_checkpoint(work / f"seed-{seed}-weak.npz")
    held_out = make_screens(config, held_out=True, count=48)
    pool = make_screens(config, count=200)

    def measured(params) -> dict:
        rows = measure(ReaderCheckpoint(params, weak.corpus, {}), shots)
        return {
            "generated": pool_accuracy(params, held_out)["accuracy"],
            "real": float(np.mean([row["hit"] for row in rows])),
            "real_median_distance": float(np.median([row["distance"] for row in rows])),
        }

    start = time.time()
    arms: dict = {"weak": measured(weak.params)}
    for reward in REWARDS:
        settings = RefineConfig(reward=reward, updates=updates, seed=seed)
        after = refine_policy(weak.params, pool, settings)
        arms[reward] = {
            **measured(after.params),
            "cpu_seconds": after.cpu_seconds,
            "first_spread": float(np.mean(after.curves["spread"][:10])),
            "last_spread": float(np.mean(after.curves["spread"][-10:])),
            "first_hits": float(np.mean(after.curves["hits"][:10])),
            "last_hits": float(np.mean(after.curves["hits"][-10:])),
        }
        note(f"seed {seed} refined with {reward}: {json.dumps(arms[reward])}")
    arms["wall_seconds"] = time.time() - start
    atomic_write_json(kept, arms)
    return arms


def run_controls(data, work: Path) -> dict:
    """Train and measure the controls, or read what an earlier call kept."""
    from jaxrl_envs.gui.screenspot import load_screenspot

    kept = work / "controls.json"
    if not kept.exists():
        shots = load_screenspot(data)
        records = {record.image_name: record for record in shots.records}
        checkpoint = load_checkpoint(work / "seed-0.npz")
        rows = measure(checkpoint, shots)
        found = measure_controls(checkpoint, rows, lambda name: shots.image(records[name]))
        atomic_write_json(kept, found)
    return json.loads(kept.read_text(encoding="utf-8"))


def pointing_rows(results: list[dict], controls: dict) -> list[dict]:
    """Rows of `gui-pointing.json`: reader against the best trained control."""
    trained = {name: part for name, part in controls.items() if name != "pixel ceiling"}
    rows = []
    for key, field, required in (("overall", "accuracy", 0.8), ("unseen", "unseen", 0.7)):
        best = max(trained, key=lambda name: trained[name][field] or 0.0)
        values = [result["real"][key]["accuracy"] for result in results]
        rows.append(
            {
                "what": f"click accuracy on real screenshots, {key}",
                "ours": float(np.mean(values)),
                "per_seed": values,
                "interval_over_families": [result["real"][key]["interval"] for result in results],
                "interval_over_seeds": list(bootstrap_interval(values)),
                "count": results[0]["real"][key]["count"],
                "peer": trained[best][field],
                "peer_name": f"best trained control: {best}",
                "unit": "",
                "ratio": float(np.mean(values)) / max(trained[best][field], 1e-9),
                "required": required,
            }
        )
    seconds = [result["cpu_seconds"] for result in results]
    rows.append(
        {
            "what": "pre-training incl. drawing of screens, one core",
            "ours": float(np.mean(seconds)),
            "per_seed": seconds,
            "peer": None,
            "peer_name": None,
            "unit": "CPU s",
            "ratio": None,
            "required": 1200,
        }
    )
    return rows


def refine_rows(results: list[dict]) -> list[dict]:
    """Rows of `gui-pointing-refine.json`: Gaussian against binary from equal weak checkpoints."""
    rows = []
    for metric in ("generated", "real", "real_median_distance"):
        values = {
            arm: [result["refine"][arm][metric] for result in results] for arm in ("weak", *REWARDS)
        }
        rows.append(
            {
                "what": metric,
                "ours": float(np.mean(values["gaussian"])),
                "peer": float(np.mean(values["binary"])),
                "peer_name": "binary reward, equal budget",
                "unit": "px" if metric.endswith("distance") else "",
                "ratio": float(np.mean(values["gaussian"]) / max(np.mean(values["binary"]), 1e-9)),
                "required": None,
                "per_seed": values,
                "gaussian_minus_binary": list(
                    difference_interval(values["gaussian"], values["binary"])
                ),
                "gaussian_minus_weak": list(
                    difference_interval(values["gaussian"], values["weak"])
                ),
                "binary_minus_weak": list(difference_interval(values["binary"], values["weak"])),
            }
        )
    return rows


def main(arguments=None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder in a ScreenSpot layout")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=None, help="do this seed only, no tables")
    parser.add_argument("--work", type=Path, default=Path("runs/gui-pointing-benchmark"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--ship", type=Path, help="write seed 0's checkpoint with its figures here")
    parser.add_argument("--refine-updates", type=int, default=REFINE_UPDATES)
    options = parser.parse_args(arguments)
    start = time.time()
    options.work.mkdir(parents=True, exist_ok=True)
    if options.seed is not None:
        run_seed(options.seed, options.data, options.work)
        return 0
    results = [run_seed(seed, options.data, options.work) for seed in range(options.seeds)]
    for seed, result in enumerate(results):
        if options.refine_updates:
            result["refine"] = run_refinement(
                seed, options.data, options.work, options.refine_updates
            )
    write_results(options, results, start, arguments)
    if options.ship:
        ship(results, options.work, options.ship)
    return 0


def write_results(options, results: list[dict], start: float, arguments=None) -> None:
    """Train the controls, print the tables and write both JSON files."""
    from jaxrl_rewards.studies.provenance import provenance

    controls = run_controls(options.data, options.work)
    parts = ["--data DIR", *shlex.split(" ".join(_without_paths(arguments or sys.argv[1:])))]
    command = "python -m jaxrl_rewards.studies.gui_g2.train.benchmark " + " ".join(parts)
    seconds = time.time() - start + sum(result["wall_seconds"] for result in results)
    stamp = provenance(command, seconds)
    table = pointing_rows(results, controls)
    fields = ("overall", "unseen", "by_family", "by_element", "by_size", "by_length")
    atomic_write_json(
        options.out / "gui-pointing.json",
        {
            "name": "gui-pointing",
            "rows": table,
            "controls": controls,
            "seeds": {
                str(result["seed"]): {
                    "cpu_seconds": result["cpu_seconds"],
                    "generated": result["generated"]["accuracy"],
                    **{field: result["real"][field] for field in fields},
                }
                for result in results
            },
            **stamp,
        },
    )
    if options.refine_updates:
        atomic_write_json(
            options.out / "gui-pointing-refine.json",
            {
                "name": "gui-pointing-refine",
                "rows": refine_rows(results),
                "weak_step": WEAK_STEP,
                "updates": options.refine_updates,
                "seeds": {str(result["seed"]): result["refine"] for result in results},
                **stamp,
            },
        )
    for row in table:
        note(f"{row['what']}: {row['ours']:.3f} (required {row['required']}), {row['peer_name']}")
    note(json.dumps(controls, indent=1))


def ship(results: list[dict], work: Path, path) -> None:
    """Write seed 0's checkpoint to `path`, with what was measured on the real screenshots."""
    checkpoint = load_checkpoint(work / "seed-0.npz")
    parts = ("accuracy", "interval", "count", "families")
    measured = {
        key: {name: results[0]["real"][key][name] for name in parts}
        for key in ("overall", "unseen")
    }
    seeds = {
        str(result["seed"]): {key: result["real"][key]["accuracy"] for key in measured}
        for result in results
    }
    metadata = {**checkpoint.metadata, "real_screens": measured, "real_screens_by_seed": seeds}
    save_checkpoint(path, checkpoint.params, checkpoint.corpus, metadata)


def _without_paths(arguments: list[str]) -> list[str]:
    kept, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in ("--data", "--work", "--out", "--ship"):
            skip = True
        else:
            kept.append(argument)
    return kept


if __name__ == "__main__":
    raise SystemExit(main())
