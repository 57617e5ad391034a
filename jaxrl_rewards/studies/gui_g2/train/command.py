"""`jaxrl-rewards train gui`: the reading-and-pointing policy; `train gui choice`: the choice among
candidates that a library has read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from jaxrl_rewards.studies.gui_g2.train.choice_config import ChoiceConfig
from jaxrl_rewards.studies.gui_g2.train.config import PointingConfig
from jaxrl_rewards.train.arguments import parse


@dataclasses.dataclass(frozen=True)
class GuiTask:
    """Train the reading-and-pointing policy (or, as `train gui choice`, the choice for large
    screens)."""

    out: Path = Path("runs/gui")
    """Folder of the run."""
    resume: bool = False
    """Go on where the run in the folder was interrupted."""
    pointing: PointingConfig = PointingConfig()
    """Sizes and numbers of the training."""


@dataclasses.dataclass(frozen=True)
class ChoiceTask:
    """Train the choice among candidates that a library has read."""

    out: Path = Path("runs/gui-choice")
    """Folder of the run."""
    pages: tuple[Path, ...] = ()
    """Collected sets in ScreenSpot format, a page family each (needs the extra `ocr`); every fourth
    validates. None: generated screens with simulated mistakes alone."""
    cache: Path | None = None
    """Folder that keeps the readings of `pages`."""
    choice: ChoiceConfig = ChoiceConfig()
    """Sizes and numbers of the training."""


def main(arguments: Sequence[str]) -> int:
    """Parse the flags and train."""
    if list(arguments[:1]) == ["choice"]:
        return _main_choice(arguments[1:])
    task = parse(
        GuiTask,
        arguments,
        prog="jaxrl-rewards train gui",
        description="Pre-train a policy that reads and points, on generated screens, and refine "
        "it by GRPO with the Gaussian reward. `train gui choice` trains the choice among texts "
        "that the extra `ocr` reads.",
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


def _main_choice(arguments: Sequence[str]) -> int:
    task = parse(
        ChoiceTask,
        arguments,
        prog="jaxrl-rewards train gui choice",
        description="Clone the right choice among candidates on generated screens (and collected "
        "pages), and refine it by GRPO with the Gaussian and, beside it, the binary reward.",
    )
    from jaxrl_rewards.studies.gui_g2.train.choice_run import results_text, train_choice

    told = train_choice(task.choice, task.out, pages=task.pages, cache=task.cache)
    print(results_text(told))
    print(f"next: jaxrl-rewards evaluate {task.out} --data FOLDER_IN_SCREENSPOT_FORMAT")
    return 0
