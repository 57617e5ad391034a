"""How long trained avatars follow motions that they were not trained on.

    python -m benchmarks.learning.retarget_unseen RUN [RUN ...] [--out FILE] [--notes TEXT ...]
        [--picture FILE --clip NAME]

Each RUN is the folder of a run of `train retarget` that `jaxrl-rewards evaluate RUN --motion FILE
--generated KIND:SEED ...` has evaluated. A row is a motion, its peer the kinematic reference: as
long as there was to follow. `--picture` writes the strips of a clip below each other.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.learning.retarget import trained_by
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_path


def main(arguments: Sequence[str] | None = None) -> int:
    """Collect, print, store; 2 where a folder holds no evaluation of motions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--notes", nargs="*", default=[])
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--clip", default="turn-7")
    options = parser.parse_args(arguments)
    try:
        rows = [row for folder in options.runs for row in unseen_rows(folder)]
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out = options.out or report.results_folder() / "bench-retarget-unseen.json"
    report.write_benchmark(
        out,
        "retarget-unseen",
        rows,
        command="; ".join(dict.fromkeys(row["trained_by"] for row in rows)),
        seconds=60.0 * sum({row["run"]: row["minutes"] for row in rows}.values()),
        load=[report.load()],
        notes=options.notes,
    )
    report.print_rows(rows)
    if options.picture:
        strips = [folder / "evaluation" / f"{options.clip}.png" for folder in options.runs]
        stack_strips(strips, options.picture)
    print(f"all figures: {out}")
    return 0


def stack_strips(strips: Sequence[Path], out: Path) -> None:
    """Write pictures below each other, on white, in few colours."""
    from PIL import Image

    images = [Image.open(path).convert("RGB") for path in strips]
    size = (max(image.width for image in images), sum(image.height for image in images))
    whole, top = Image.new("RGB", size, "white"), 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height
    with atomic_path(out) as temporary:
        whole.quantize(64).save(temporary, format="PNG", optimize=True)


def unseen_rows(folder: Path) -> list[dict[str, Any]]:
    """A row for each motion of a run's last evaluation that it was not trained on."""
    try:
        trained = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        task = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        played = json.loads((folder / "evaluation/evaluation.json").read_text(encoding="utf-8"))
        clips = played["clips"]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{folder} holds no evaluation of motions ({error}); run `jaxrl-rewards evaluate "
            f"{folder} --generated KIND:SEED`"
        ) from error
    rows = []
    for name, kinds in clips.items():
        if name in trained["clips"]:
            continue
        avatar, kinematic = kinds["avatar"], kinds["kinematic"]
        rows.append(
            report.row(
                f"{trained['character']}, trained on {len(trained['clips'])} motions, seed "
                f"{trained['seed']}: time followed on {name.removeprefix('deepmimic_humanoid3d_')}",
                avatar["seconds"],
                kinematic["seconds"],
                "length of the motion",
                "s",
                run=folder.name,
                starts=played["episodes"],
                avatar=avatar,
                kinematic=kinematic,
                motions=trained["clips"],
                samples=trained["samples"],
                minutes=trained["minutes"],
                trained_by=trained_by(task),
            )
        )
    return rows


if __name__ == "__main__":
    sys.exit(main())
