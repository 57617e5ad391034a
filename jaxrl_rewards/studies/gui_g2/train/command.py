"""`jaxrl-rewards train gui`: the reading-and-pointing policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jaxrl_rewards.studies.gui_g2.train.choice_config import ChoiceConfig
from jaxrl_rewards.studies.gui_g2.train.config import PointingConfig
from jaxrl_rewards.train.arguments import parse


@dataclasses.dataclass(frozen=True)
class GuiTask:
    """Train the reading-and-pointing policy."""

    out: Path = Path("runs/gui")
    """Folder of the run."""
    part: Literal["reader", "choice"] = "reader"
    """What is trained: our own reader, or the choice among candidates that a library has read."""
    pointing: PointingConfig = PointingConfig()
    """Sizes and numbers of the reader's training."""
    choice: ChoiceConfig = ChoiceConfig()
    """Sizes and numbers of the choice's training."""
    pages: tuple[Path, ...] = ()
    """Collected sets in ScreenSpot format for the choice's training (needs the extra `ocr`)."""
    cache: Path | None = None
    """Folder that keeps the readings of `pages`."""


def main(arguments: Sequence[str]) -> int:
    """Parse the flags and train."""
    task = parse(
        GuiTask,
        arguments,
        prog="jaxrl-rewards train gui",
        description="Pre-train a policy that reads and points, on generated screens, and refine "
        "it by GRPO with the Gaussian reward.",
    )
    if task.part == "choice":
        from jaxrl_rewards.studies.gui_g2.train.choice_run import train_choice

        train_choice(task.choice, task.out, pages=task.pages, cache=task.cache)
    else:
        from jaxrl_rewards.studies.gui_g2.train.training import train

        train(task.pointing, task.out)
    print(f"next: jaxrl-rewards evaluate {task.out} [--data FOLDER_IN_SCREENSPOT_FORMAT]")
    return 0
