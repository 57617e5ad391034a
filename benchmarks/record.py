"""Measure again, and store, everything that the README quotes.

    python -m benchmarks.record                    # all of it: most of an hour on two cores
    python -m benchmarks.record --only studies tables --studies gui_g2
    python -m benchmarks.record --data FOLDER      # with pointing, on a ScreenSpot folder

Steps: `studies` (each study's JSON file and small pictures), `second_keys` (each study again on a
root key that nobody tuned on, stored in the same file), `judge` (stored studies under today's
claims; nothing is run), `pointing` (only with `--data`),
`reference` (reference vectors), `gui`, `ppo`, `oni`, `reward_design` and `physics` (benchmarks),
`returns` (the presets' returns), `charts`, `tables`. Nothing else should run on the machine
meanwhile. A step that fails is reported at the end; the others still run, and its old result stays.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from jaxrl_rewards.core.files import atomic_write_bytes, atomic_write_json
from jaxrl_rewards.studies.registry import get, slugs
from jaxrl_rewards.studies.reproduce import judged_again, settings_of, with_second_key

STEPS = (
    *("studies", "second_keys", "judge", "pointing", "reference", "gui", "ppo", "oni"),
    *("reward_design", "physics", "returns", "charts", "tables"),
)
WIDTH, LIMIT_BYTES = 1100, 150_000
SECOND_KEY = 20_261_201
"""One for all studies, so that it is chosen for none."""
PHYSICS = (
    "--engines c --batch 16 1024 4096 --peers --samples 8192 --repetitions 9",
    "--engines c jax --batch 256 --peers mjx mjx-tuned brax --samples 4096",
    "--env retarget --engines c jax --batch 512 --peers brax --samples 8192 --repetitions 21",
)
"""Runs that share one file: MJX and its peers compile for minutes, so they get one size each."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps in order; 1 when one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--studies", nargs="+", choices=slugs(), default=list(slugs()))
    parser.add_argument("--second-key", type=int, default=SECOND_KEY)
    parser.add_argument("--data", type=Path, help="real screenshots for the step pointing")
    options = parser.parse_args(arguments)
    os.environ.setdefault("PJRT_NPROC", "1")  # before jax starts: one XLA thread, as in the tests
    if report.load() > 1.0:
        print(f"warning: load {report.load():.1f}: other programs run, timings will be disturbed")
    folder = report.results_folder()
    failed = []
    for step in [name for name in STEPS if name in options.only]:
        if step == "studies":
            failed += [slug for slug in options.studies if not record_study(slug, folder)]
            continue
        if step == "second_keys":
            key = options.second_key
            failed += [slug for slug in options.studies if not record_second(slug, folder, key)]
            continue
        if step == "judge":
            for slug in options.studies:
                path = folder / f"study-{slug}.json"
                record = json.loads(path.read_text(encoding="utf-8"))
                atomic_write_json(path, judged_again(get(slug), record))
            continue
        if step == "pointing":
            if options.data is not None and not record_pointing(options.data.resolve(), folder):
                failed.append(step)
            continue
        if step == "physics":
            failed += [] if record_physics(folder) else [step]
            continue
        command = {
            "reference": ["tests.reference.report", "--out", str(folder / "parity-reference.json")],
            "gui": ["benchmarks.throughput.bench_gui"],
            "ppo": ["benchmarks.throughput.bench_ppo"],
            "oni": ["benchmarks.throughput.bench_oni"],
            "reward_design": ["benchmarks.throughput.bench_reward_design", "--repetitions", "5"],
            "returns": ["benchmarks.learning.reference_returns"],
            "charts": ["benchmarks.charts"],
            "tables": ["benchmarks.tables"],
        }[step]
        failed += [] if run(command) else [step]
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed else 0


def record_study(slug: str, folder: Path) -> bool:
    """Reproduce a study; store its JSON file and small copies of its pictures."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / slug
        if not reproduce(slug, out):
            return False
        store_study(out, slug, folder)
    return True


def record_second(slug: str, folder: Path, key: int) -> bool:
    """Reproduce a study on another root key; add what it measured to the stored JSON file."""
    name = f"study-{slug}.json"
    stored = json.loads((folder / name).read_text(encoding="utf-8"))["config"]
    if settings_of(stored) != settings_of(get(slug).config):
        print(f"{slug} is stored with other settings than it has now; record it first")
        return False
    with tempfile.TemporaryDirectory() as temporary:
        if not reproduce(slug, Path(temporary), key):
            return False
        first, second = (
            json.loads((place / name).read_text(encoding="utf-8"))
            for place in (folder, Path(temporary))
        )
    atomic_write_json(folder / name, with_second_key(first, second))
    return True


def reproduce(slug: str, out: Path, key: int | None = None) -> bool:
    """Run a study with its default settings, in a process of its own; whether it succeeded."""
    script = (
        "import sys; from jaxrl_rewards.studies import get;"
        "from jaxrl_rewards.studies.reproduce import override, reproduce;"
        "study = get(sys.argv[1]); keys = [int(word) for word in sys.argv[3:]];"
        "config = override(study.config, root_key=keys[0] if keys else None);"
        "words = ['jaxrl-rewards', 'reproduce', study.slug];"
        "words += ['--root-key', str(keys[0])] if keys else [];"
        "reproduce(study, config, out_dir=sys.argv[2], command=' '.join(words))"
    )
    words = [slug, str(out), *([] if key is None else [str(key)])]
    return subprocess.run([sys.executable, "-c", script, *words], **_where()).returncode == 0


def record_pointing(data: Path, folder: Path) -> bool:
    """Train, measure and refine the pointing policy over seeds; draw the shipped one's answers."""
    with tempfile.TemporaryDirectory() as temporary:
        benchmark = ["jaxrl_rewards.studies.gui_g2.train.benchmark", "--data", str(data)]
        if not run([*benchmark, "--work", f"{temporary}/work", "--out", str(folder)]):
            return False
        shipped = ["jaxrl_rewards.cli", "evaluate", "gui"]
        if not run([*shipped, "--out", temporary]):
            return False
        picture = small_picture(Path(temporary) / "pointing.png")
        atomic_write_bytes(folder.parent / "images" / "pointing.png", picture)
    return True


def record_physics(folder: Path) -> bool:
    """Run the parts of the physics benchmark and store them as one file."""
    parts = []
    with tempfile.TemporaryDirectory() as temporary:
        for number, arguments in enumerate(PHYSICS):
            out = Path(temporary) / f"{number}.json"
            command = ["benchmarks.throughput.bench_physics", *arguments.split()]
            if not run([*command, "--out", str(out)], all_cores=True):
                return False
            parts.append(json.loads(out.read_text(encoding="utf-8")))
    atomic_write_json(folder / "bench-physics.json", join_parts(parts))
    return True


def join_parts(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One benchmark of several runs: rows and loads in order, seconds added, the rest told apart.

    Settings and commands that differ are joined by "; ", those that agree are named once.
    """
    settings = {
        name: distinct[0] if len(distinct) == 1 else "; ".join(map(str, distinct))
        for name in parts[0]["settings"]
        for distinct in [list(dict.fromkeys(part["settings"][name] for part in parts))]
    }
    return {
        **parts[0],
        "rows": [row for part in parts for row in part["rows"]],
        "load": [load for part in parts for load in part["load"]],
        "seconds": round(sum(part["seconds"] for part in parts), 1),
        "command": " ; ".join(dict.fromkeys(part["command"] for part in parts)),
        "settings": settings,
    }


def store_study(out: Path, slug: str, folder: Path) -> list[Path]:
    """Copy a reproduced study from `out` into the results; returns the files written."""
    stored = [folder / f"study-{slug}.json"]
    atomic_write_bytes(stored[0], (out / stored[0].name).read_bytes())
    for picture in sorted(out.glob("*.png")):
        stored.append(folder.parent / "images" / picture.name)
        atomic_write_bytes(stored[-1], small_picture(picture))
    return stored


def small_picture(path: Path, width: int = WIDTH, limit: int = LIMIT_BYTES) -> bytes:
    """A PNG as bytes, at most `width` pixels wide, with fewer colours and pixels until small."""
    from PIL import Image

    image = Image.open(path).convert("RGB")
    for share in (1.0, 0.8, 0.64, 0.5):
        wide = min(image.width, round(width * share))
        size = (wide, max(1, round(image.height * wide / image.width)))
        packed = io.BytesIO()
        smaller = image if size == image.size else image.resize(size, Image.Resampling.LANCZOS)
        smaller.quantize(128, dither=Image.Dither.NONE).save(packed, format="png", optimize=True)
        if packed.tell() <= limit:
            break
    return packed.getvalue()


def run(command: Sequence[str], *, all_cores: bool = False) -> bool:
    """Run a module of the checkout, on one XLA thread or on all cores; whether it succeeded."""
    print("$ python -m", " ".join(command), flush=True)
    where = _where()
    if all_cores:
        where["env"].pop("PJRT_NPROC", None)
    return subprocess.run([sys.executable, "-m", *command], **where).returncode == 0


def _where() -> dict:
    path = [str(report.ROOT), str(report.ROOT / "envs"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in path if part)}
    return {"cwd": report.ROOT, "env": environment}


if __name__ == "__main__":
    sys.exit(main())
