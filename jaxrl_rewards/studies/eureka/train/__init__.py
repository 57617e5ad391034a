"""`train eureka`: the search of a reward program, by evolution, a chat server or a recording."""

from __future__ import annotations

from collections.abc import Sequence

from jaxrl_rewards.studies.api import Train


def main(arguments: Sequence[str]) -> int:
    """Parse the flags and search."""
    from jaxrl_rewards.studies.eureka.train import command

    return command.main(arguments)


TRAIN = Train(
    command="eureka",
    summary="a search of reward programs, offline or by a chat server",
    main=main,
)
