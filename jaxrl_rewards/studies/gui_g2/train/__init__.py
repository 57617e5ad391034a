"""`train gui`: a policy that reads real screenshots and points; see `pointing`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.studies.api import Train

CHECKPOINT = "gui_reader.npz"
CHOICE = "gui_choice.npz"


def main(arguments: Sequence[str]) -> int:
    """Parse the flags and train."""
    from jaxrl_rewards.studies.gui_g2.train import command

    return command.main(arguments)


def owns(folder: Path, stored: dict[str, Any]) -> bool:
    """Whether a run's folder holds a policy of this kind."""
    return (folder / CHECKPOINT).exists() or (folder / CHOICE).exists()


def evaluate(folder: Path | None, options: Any) -> int:
    """Point at elements of generated screens, or of a folder in ScreenSpot format."""
    from jaxrl_rewards.studies.gui_g2.train.evaluation import evaluate as measure

    default = Path("runs/evaluate-gui") if folder is None else folder / "evaluation"
    own = choice = None
    if folder is not None:
        own = folder / CHECKPOINT if (folder / CHECKPOINT).exists() else None
        choice = folder / CHOICE if (folder / CHOICE).exists() else None
    measure(
        own,
        options.data,
        options.out or default,
        with_controls=options.controls,
        bbox_format=options.bbox_format,
        predictions=options.predictions,
        reader=options.reader,
        choice=choice,
        cache=options.cache,
        size=screen_size(options.screen),
    )
    return 0


def screen_size(text: str | None) -> tuple[int, int] | None:
    """(width, height) of "1280x800"; `InputError` for anything else, None for None."""
    from jaxrl_rewards.core.errors import InputError

    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    good = width.isascii() and width.isdigit() and height.isascii() and height.isdigit()
    size = (int(width), int(height)) if good and len(text) <= 9 else (0, 0)
    if not (32 <= size[0] <= 4096 and 32 <= size[1] <= 4096) or size[0] % 4 or size[1] % 8:
        raise InputError(
            f"--screen is {text!r}; give width x height in pixels from 32 to 4096, the width a "
            "multiple of 4 and the height of 8, e.g. 1280x800"
        )
    return size


def flags(parser: Any) -> None:
    """What `evaluate` takes beside its own flags."""
    from argparse import BooleanOptionalAction

    add = parser.add_argument
    add("--data", type=Path, help="GUI: folder or JSON file in ScreenSpot format")
    add("--bbox-format", default="auto", help="GUI: of the boxes, e.g. xywh (default: told apart)")
    add("--predictions", type=Path, help="GUI: points or boxes of another model, JSON or lines")
    add("--controls", action=BooleanOptionalAction, help="GUI: measure what needs no reading, too")
    add("--reader", default="auto", help="GUI: auto, own (ours) or ocr (the extra `ocr`)")
    add("--screen", metavar="WxH", help="GUI: size of generated screens, e.g. 1280x800")
    add("--cache", type=Path, help="GUI: folder that keeps the readings of the extra `ocr`")


TRAIN = Train(
    command="gui",
    summary="a reading-and-pointing policy for screenshots, on generated screens",
    main=main,
    owns=owns,
    evaluate=evaluate,
    ships=True,
    flags=flags,
)
