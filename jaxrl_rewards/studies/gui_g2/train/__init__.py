"""`train gui`: a policy that reads real screenshots and points; see `pointing`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.studies.api import Train

CHECKPOINT = "gui_reader.npz"


def main(arguments: Sequence[str]) -> int:
    """Parse the flags and train."""
    from jaxrl_rewards.studies.gui_g2.train import command

    return command.main(arguments)


def owns(folder: Path, stored: dict[str, Any]) -> bool:
    """Whether a run's folder holds a policy of this kind."""
    return (folder / CHECKPOINT).exists()


def evaluate(folder: Path | None, options: Any) -> int:
    """Point at elements of generated screens, or of a folder in ScreenSpot format."""
    from jaxrl_rewards.studies.gui_g2.train.evaluation import evaluate as measure

    default = Path("runs/evaluate-gui") if folder is None else folder / "evaluation"
    checkpoint = None if folder is None else folder / CHECKPOINT
    measure(checkpoint, options.data, options.out or default)
    return 0


def flags(parser: Any) -> None:
    """What `evaluate` takes beside its own flags."""
    parser.add_argument("--data", type=Path, help="GUI: folder or JSON file in ScreenSpot format")


TRAIN = Train(
    command="gui",
    summary="a reading-and-pointing policy for screenshots, on generated screens",
    main=main,
    owns=owns,
    evaluate=evaluate,
    ships=True,
    flags=flags,
)
