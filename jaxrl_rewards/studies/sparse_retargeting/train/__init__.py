"""`train retarget`: an avatar under physics that follows a headset and two controllers."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.studies.api import Train


def main(arguments: Sequence[str]) -> int:
    """Parse the flags and train."""
    from jaxrl_rewards.studies.sparse_retargeting.train import command

    return command.main(arguments)


def owns(folder: Path, stored: dict[str, Any]) -> bool:
    """Whether a run's folder holds an avatar."""
    config = stored.get("config")
    return isinstance(config, dict) and config.get("kind") == "retarget"


def evaluate(folder: Path | None, options: Any) -> int:
    """Random starts, disturbances, and clips that were never trained on."""
    from jaxrl_rewards.studies.sparse_retargeting.train.evaluating import evaluate_retarget
    from jaxrl_rewards.train.record import read

    return evaluate_retarget(folder, read(folder), options)


def flags(parser: argparse.ArgumentParser) -> None:
    """What `evaluate` takes beside its own flags."""
    parser.add_argument(
        "--motion",
        type=Path,
        action="append",
        help="avatars: a clip to follow that was not trained on (.bvh, .npz, .txt); repeatable",
    )
    parser.add_argument(
        "--generated",
        metavar="KIND:SEED",
        action="append",
        help="avatars: likewise a generated motion, as in `train retarget --env.generated`",
    )
    parser.add_argument(
        "--bvh",
        type=Path,
        metavar="FILE",
        help="avatars: how to read BVH files, as `train retarget --env.bvh` (default: the run's)",
    )


TRAIN = Train(
    command="retarget",
    summary="an avatar under physics that follows a headset and two controllers",
    main=main,
    owns=owns,
    evaluate=evaluate,
    flags=flags,
)
