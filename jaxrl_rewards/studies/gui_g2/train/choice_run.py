"""`train gui choice`: episodes, cloning, GRPO with both rewards side by side, checkpoint."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxrl_envs.gui.read_text import ReadingCache, rapid_engine, read_screen
from jaxrl_envs.gui.screenspot import load_screenspot

from jaxrl_rewards.core.files import atomic_write_json, make_folder
from jaxrl_rewards.studies.gui_g2.train.choice_checkpoint import save_choice
from jaxrl_rewards.studies.gui_g2.train.choice_config import REWARDS, ChoiceConfig
from jaxrl_rewards.studies.gui_g2.train.choice_data import (
    Row,
    collected_screens,
    episodes_of,
    generated_screens,
    stack,
)
from jaxrl_rewards.studies.gui_g2.train.choice_training import calibrate, clone, refine, summary
from jaxrl_rewards.studies.gui_g2.train.progress import ProgressReport

CHECKPOINT = "gui_choice.npz"
VALIDATION = 0.25
"""Share of the collected sets (else of the generated screens) that only calibrate and validate."""


def train_choice(
    config: ChoiceConfig, out_dir, *, pages: Sequence[Path] = (), cache=None, progress: bool = True
) -> dict[str, Any]:
    """Train the choice among candidates and write it into `out_dir`.

    Args:
        config: sizes and budgets.
        out_dir: gets `gui_choice.npz` and `choice.json`.
        pages: folders in ScreenSpot format, a page family each; every fourth only calibrates
            "not found" and validates. Without any, generated screens do both.
        cache: folder where readings of `pages` are kept.
        progress: show bars.

    Returns:
        What `choice.json` holds: `validation` of the cloned policy and of both rewards' GRPO on
        equal budgets (`hits`, `found`, `refused`, `reachable`), `bias`, `config`, `cpu_seconds`.

    Raises `InputError` for a bad set, or for `pages` without the `ocr` extra.
    """
    cpu = time.process_time()
    if pages:
        rapid_engine()  # what is missing is said before there is a folder
    folder = make_folder(Path(out_dir))
    with ProgressReport(progress) as report:
        training, validation = choice_rows(config, pages, cache)
        episodes, held = stack(training), stack(validation)
        cloned = clone(config, episodes, report)
        results: dict[str, Any] = {"cloned": judged(config, cloned, held)}
        params = {None: cloned}
        for name in REWARDS if config.refine_updates else ():
            changed = dataclasses.replace(config, reward=name)
            params[name], _ = refine(changed, episodes, cloned, report)
            results[name] = judged(config, params[name], held)
    kept = params[config.reward if config.refine_updates else None]
    bias = calibrate(kept, held, config.false_alarms)
    told = {
        "validation": results,
        "bias": bias,
        "config": dataclasses.asdict(config),
        "episodes": {"training": len(training), "validation": len(validation)},
        "pages": [path.name for path in pages],
        "parameters": sum(int(np.size(leaf)) for leaf in jax.tree.leaves(kept)),
        "cpu_seconds": time.process_time() - cpu,
    }
    save_choice(folder / CHECKPOINT, kept, bias, {"validation": results, "pages": told["pages"]})
    atomic_write_json(folder / "choice.json", told)
    return told


def results_text(told: dict[str, Any]) -> str:
    """The validation as a plain table."""
    names = ("hits", "found", "refused", "reachable")
    lines = [f"{'validation':12} {'hits':>8} {'found':>8} {'refused':>8} {'reachable':>10}"]
    for name, part in told["validation"].items():
        lines.append(f"{name:12} " + " ".join(f"{part[key]:8.3f}" for key in names))
    return "\n".join(lines)


def judged(config: ChoiceConfig, params: Any, held) -> dict[str, float]:
    """`summary` on the validation episodes with "not found" calibrated on them."""
    return summary(params, held, calibrate(params, held, config.false_alarms))


def choice_rows(config: ChoiceConfig, pages: Sequence[Path], cache) -> tuple[list[Row], list[Row]]:
    """Training and validation rows, page families apart."""
    made = episodes_of(
        generated_screens(config.screens, config.seed), np.random.default_rng([config.seed, 1])
    )
    if not pages:
        names = list(dict.fromkeys(row.family for row in made))
        last = set(names[-max(1, int(VALIDATION * len(names))) :])
        return (
            [row for row in made if row.family not in last],
            [row for row in made if row.family in last],
        )
    read = read_screen if cache is None else ReadingCache(cache).read
    validation: list[Row] = []
    for index, path in enumerate(pages):
        screens = collected_screens(load_screenspot(path), read, path.name)
        rows = episodes_of(
            screens, np.random.default_rng([config.seed, 2, index]), rounds=config.rounds, most=60
        )
        (validation if index % int(1 / VALIDATION) == 3 else made).extend(rows)
    if not validation:
        validation = [row for row in made if not row.family.startswith("generated")]
    return made, validation
