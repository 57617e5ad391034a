"""`jaxrl-rewards reproduce STUDY`: a published claim at laptop size."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from jaxrl_rewards.train.arguments import choose, parse


def main(arguments: Sequence[str]) -> int:
    """Run one study and write its results; a claim that fails is still exit code 0.

    `--quick` takes the study's small sizes, which other flags may change again.
    """
    from jaxrl_envs.registry import check_packages

    from jaxrl_rewards.studies import get, registry
    from jaxrl_rewards.studies.shared.sizes import changed

    titles = {slug: "" for slug in registry.slugs()}
    if not arguments or arguments[0] in ("-h", "--help"):
        titles = {slug: get(slug).title for slug in titles}
    elif not arguments[0].startswith("-"):
        get(arguments[0])
    slug, rest = choose(arguments, titles, prog="jaxrl-rewards reproduce", what="study")
    if slug is None:
        return 0 if arguments else 2
    study = get(slug)
    command = shlex.join(["jaxrl-rewards", "reproduce", slug, *_without_out(rest)])
    small = "--quick" in rest
    rest = [argument for argument in rest if argument != "--quick"]
    default = changed(study.config, dict(study.quick)) if small else study.config
    out, config = split_out(rest, default, slug, study)
    for world in study.worlds:
        check_packages(world)
    from jaxrl_rewards.studies.reproduce import reproduce

    reproduce(study, config, out_dir=out, command=command)
    return 0


def split_out(rest: list[str], default: Any, slug: str, study: Any) -> tuple[Path, Any]:
    """Parse `--out` and the study's own flags."""
    import tyro

    quick = tyro.conf.arg(help="Small sizes for a first look; they are too small to judge by.")
    options = dataclasses.make_dataclass(
        "Options",
        [
            ("config", type(default), dataclasses.field(default=default)),
            ("out", Path, dataclasses.field(default=Path("runs") / f"reproduce-{slug}")),
            ("quick", Annotated[bool, quick], dataclasses.field(default=False)),
        ],
        frozen=True,
    )
    description = f"{study.title}. {study.paper} Claims: " + " ".join(study.claims)
    parsed = parse(options, rest, prog=f"jaxrl-rewards reproduce {slug}", description=description)
    return parsed.out, parsed.config


def _without_out(arguments: list[str]) -> list[str]:
    """The flags that decide the result: where it is written does not."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--out":
            skip = True
        elif not argument.startswith("--out="):
            kept.append(argument)
    return kept
