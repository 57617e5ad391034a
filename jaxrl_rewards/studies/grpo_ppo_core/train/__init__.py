"""`train language`: a decoder that learns to answer, first from solutions, then from a reward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.studies.api import Train

KIND = "language"


def main(arguments: Sequence[str]) -> int:
    """Parse the flags and train."""
    from jaxrl_rewards.studies.grpo_ppo_core.train import command

    return command.main(arguments)


def owns(folder: Path, stored: dict[str, Any]) -> bool:
    """Whether a run's folder holds a language policy."""
    config = stored.get("config")
    return isinstance(config, dict) and config.get("kind") == KIND


def evaluate(folder: Path | None, options: Any) -> int:
    """Answer questions that training never asked, level by level."""
    from jaxrl_rewards.studies.grpo_ppo_core.train.evaluating import evaluate_language
    from jaxrl_rewards.train.record import read

    return evaluate_language(folder, read(folder), options)


TRAIN = Train(
    command="language",
    summary="a language model on written tasks, by GRPO and its relatives",
    main=main,
    owns=owns,
    evaluate=evaluate,
)
