"""`jaxrl-rewards train gui`: the reading-and-pointing policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from jaxrl_rewards.studies.gui_g2.train.config import PointingConfig
from jaxrl_rewards.train.arguments import parse


@dataclasses.dataclass(frozen=True)
class GuiTask:
    """Train the reading-and-pointing policy."""

    out: Path = Path("runs/gui")
    """Folder of the run."""
    resume: bool = False
    """Go on where the run in the folder was interrupted."""
    pointing: PointingConfig = PointingConfig()
    """Sizes and numbers of the training."""


def main(arguments: Sequence[str]) -> int:
    """Parse the flags and train."""
    task = parse(
        GuiTask,
        arguments,
        prog="jaxrl-rewards train gui",
        description="Pre-train a policy that reads and points, on generated screens, and refine "
        "it by GRPO with the Gaussian reward.",
    )
    from jaxrl_rewards.studies.gui_g2.train.training import train
    from jaxrl_rewards.train.halfway import Stopped

    try:
        train(task.pointing, task.out, resume=task.resume)
    except Stopped as stopped:
        print(f"interrupted; go on with --resume --out {task.out}")
        return 128 + stopped.number
    print(f"next: jaxrl-rewards evaluate {task.out} [--data FOLDER_IN_SCREENSPOT_FORMAT]")
    return 0
