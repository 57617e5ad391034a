"""`train`: pre-training, optional refinement, checkpoint, metrics and curves in one folder."""

import dataclasses
from pathlib import Path

import jax
import numpy as np

from jaxrl_rewards.core.files import atomic_path, atomic_write_json
from jaxrl_rewards.studies.gui_g2.train.checkpoint import corpus_hashes, save_checkpoint
from jaxrl_rewards.studies.gui_g2.train.config import PointingConfig
from jaxrl_rewards.studies.gui_g2.train.data import make_screens
from jaxrl_rewards.studies.gui_g2.train.pretraining import pool_accuracy, pretrain
from jaxrl_rewards.studies.gui_g2.train.progress import ProgressReport
from jaxrl_rewards.studies.gui_g2.train.refinement import RefineConfig, refine_policy
from jaxrl_rewards.train import record
from jaxrl_rewards.train.folder_lock import folder_lock
from jaxrl_rewards.train.halfway import Halfway
from jaxrl_rewards.train.signals import StopRequest

CHECKPOINT = "gui_reader.npz"


def train(config: PointingConfig, out_dir, progress: bool = True, resume: bool = False) -> dict:
    """Train a reading-and-pointing policy on generated screens and write it into `out_dir`.

    The folder is held for this process alone. After a kill, or a signal (`Stopped`), `resume` goes
    on to the same policy, bit for bit.

    Args:
        config: budgets in steps; equal configurations, fonts and machines give equal results.
        out_dir: gets `gui_reader.npz` (+ .json), `metrics.json` and `curves.png`.
        progress: show bars with steps/s and the time left.

    Returns:
        `accuracy` (held-out generated screens: overall and by kind), `refined` (the same after
        GRPO, or None), `curves`, `cpu_seconds`, `wall_seconds`, `config`, `files`.
    """
    with StopRequest() as stop, folder_lock(out_dir) as folder:
        config_of_run = {"kind": "gui", "task": dataclasses.asdict(config)}
        facts = record.facts(config_of_run, {}, jax.random.key(config.seed), None, False)
        record.check_folder(folder, resume=resume, facts=facts)
        record.write(folder, facts, {})
        halfway = Halfway(folder / "halfway" / "pretraining.npz", stop=stop)
        return _train(config, folder, progress, halfway)


def _train(config: PointingConfig, folder: Path, progress: bool, halfway: Halfway) -> dict:
    with ProgressReport(progress) as report:
        result = pretrain(config, report, halfway=halfway)
        held_out = make_screens(config, held_out=True, count=96)
        accuracy = pool_accuracy(result.params, held_out)
        params, refined, cpu = result.params, None, result.cpu_seconds
        if config.refine_updates:
            settings = RefineConfig(
                updates=config.refine_updates,
                learning_rate=config.refine_learning_rate,
                seed=config.seed,
            )
            fresh = make_screens(dataclasses.replace(config, seed=config.seed + 1), count=400)
            after = refine_policy(
                params,
                fresh,
                settings,
                lambda done, total, row: report("refine", done, total, row),
                halfway.beside("refinement.npz"),
            )
            params, cpu = after.params, cpu + after.cpu_seconds
            refined = pool_accuracy(params, held_out)
    files = {
        "checkpoint": folder / CHECKPOINT,
        "metrics": folder / "metrics.json",
        "curves": folder / "curves.png",
    }
    results = {
        "config": dataclasses.asdict(config),
        "accuracy": accuracy,
        "refined": refined,
        "cpu_seconds": cpu,
        "wall_seconds": result.wall_seconds,
        "curves": result.curves,
        "files": {name: str(path) for name, path in files.items()},
    }
    metadata = checkpoint_metadata(config, results)
    save_checkpoint(files["checkpoint"], params, corpus_hashes(result.corpus), metadata)
    draw_curves(files["curves"], result.curves)
    atomic_write_json(files["metrics"], results)
    if progress:
        final = refined or accuracy
        print(f"held-out generated screens: {final['accuracy']:.3f} of {final['count']} texts hit")
        print(f"checkpoint: {files['checkpoint']}\ncurves: {files['curves']}")
    return results


def checkpoint_metadata(config: PointingConfig, results: dict) -> dict:
    """What a checkpoint says of itself: configuration, fonts, held-out accuracy, CPU seconds."""
    from jaxrl_envs.gui.fonts import available_fonts

    return {
        "what": "dense character reader with monotonic alignment, pre-trained on generated screens",
        "config": dataclasses.asdict(config),
        "fonts": [font.name for font in available_fonts(config.system_fonts)],
        "held_out_accuracy": (results["refined"] or results["accuracy"])["accuracy"],
        "cpu_seconds": round(results["cpu_seconds"], 1),
    }


def draw_curves(path, curves: list[dict]) -> None:
    """Draw the losses of both phases and the held-out accuracy over steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3))
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    parts = (("read", "loss", "reading loss"), ("point", "loss", "pointing loss"),
             ("point", "held_out", "accuracy on held-out screens"))  # fmt: skip
    for panel, (phase, name, title) in zip(panels, parts, strict=True):
        rows = [row for row in curves if row["phase"] == phase]
        panel.plot([r["step"] for r in rows], np.array([r[name] for r in rows]), "-o", ms=3)
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("steps", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.grid(alpha=0.25)
    panels[2].set_ylim(0, 1)
    figure.subplots_adjust(left=0.07, right=0.98, top=0.88, bottom=0.17, wspace=0.25)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
