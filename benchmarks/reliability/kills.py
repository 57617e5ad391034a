"""Kill training commands at random moments, resume them, and compare with undisturbed runs.

    python -m benchmarks.reliability.kills [--kills 20] [--only ppo eureka] [--out FILE]

Each command is run once to its end. Then it is started in another folder and killed (SIGKILL) again
and again, each time with `--resume`: a fifth of the kills fall into the start of the process, the
others after a random number of changes in its folder. What it has written in the end is compared
with what the undisturbed run wrote: parameters and all other values of every checkpoint, metrics,
evaluations, the best checkpoint; times are left out. The number of required differences is 0.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.reliability.compare import differences

COMMANDS = {
    "ppo": "train ppo --env CartPole-v1 --steps 40960 --num-envs 4 --unroll-length 64 --hidden 8 "
    "--chunk 2 --checkpoint-every 8 --evaluation-episodes 4",
    "retarget": "train retarget --env.physics-threads 1 --num-envs 16 --unroll 8 --steps 7680 "
    "--evaluate-every 6 --chunk 1 --evaluation-episodes 4 --final-episodes 4 --clone-rounds 1 "
    "--picture-seconds 0 --hidden 16 16 --minibatches 2",
    "eureka": "train eureka --candidates 4 --generations 12 --seeds 1 --seed 3",
    "gui": "train gui --screens 16 --patches 32 --read-steps 160 --point-steps 40 --patch-batch 4 "
    "--batch 2 --instructions 2 --report-every 10 --system-fonts False",
    "language": "train language --env.hardest 1 --network.width 16 --network.layers 1 "
    "--network.heads 2 --network.kv-heads 1 --network.hidden 16 --warm-start 60 --warm-start-batch "
    "16 --updates 60 --prompts 4 --answers 4 --evaluation-questions 16 --evaluate-every 6 "
    "--chunk 1 --checkpoint-every 5",
}
EARLY = 0.2
"""Share of the kills that fall into the start of a process."""
LEAST_CHANGES = 14
"""Up to so many changes in the folder a process may live, or it would never come beyond its start:
the record of the run and its log are the first."""
LIMIT = 900.0
"""Seconds after which a process is given up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, store; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=[*COMMANDS], default=[*COMMANDS])
    parser.add_argument("--work", type=Path, help="folder of the runs, kept")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    work = options.work or Path(tempfile.mkdtemp())
    rows = []
    for name in options.only:
        rows.append(row_of(name, options.kills, options.seed, work / name))
        print(f"{rows[-1]['what']}: {rows[-1]['notes']}", flush=True)
    out = options.out or report.results_folder() / "bench-kills.json"
    command = f"python -m benchmarks.reliability.kills --kills {options.kills}"
    report.write_benchmark(
        out,
        "kills",
        rows,
        command=command,
        seconds=time.perf_counter() - began,
        load=[report.load()],
        notes=[],
    )
    print(f"all figures: {out}")
    if options.work is None:
        shutil.rmtree(work, ignore_errors=True)
    return int(any(row["ours"] for row in rows))


def row_of(name: str, kills: int, seed: int, work: Path) -> dict[str, Any]:
    """Kill one command until there are `kills`, and say what differs where it came to its end."""
    work.mkdir(parents=True, exist_ok=True)
    generator = random.Random(f"{name} {seed}")
    whole = work / "whole"
    undisturbed = watch(start(name, whole, resume=False), whole)
    if undisturbed["code"]:
        raise RuntimeError(f"{name} ended with {undisturbed['code']}; see {whole}.log")
    killed: list[dict[str, Any]] = []
    differ: list[str] = []
    rounds = 0
    while len(killed) < kills:
        rounds += 1
        folder = work / f"broken-{rounds}"
        code = kill_to_the_end(name, folder, generator, undisturbed, kills, killed)
        differ += [f"exit code {code}"] if code else differences(whole, folder)
    before = sum(not one["saved"] for one in killed)
    return {
        "what": f"train {name}: values that differ after {kills} kills",
        "ours": len(differ),
        "peer": None,
        "peer_name": None,
        "unit": "values",
        "ratio": None,
        "required": 0,
        "kills": kills,
        "runs": rounds,
        "before_the_first_checkpoint": before,
        "differing": differ[:20],
        "notes": f"{len(differ)} values differ in {rounds} runs; {before} kills before anything "
        "was saved",
    }


def kill_to_the_end(
    name: str,
    folder: Path,
    generator: random.Random,
    undisturbed: dict[str, Any],
    kills: int,
    killed: list[dict[str, Any]],
) -> int:
    """Kill and resume one run until it ends by itself or all kills are done, then let it end.

    Kills are added to `killed`; the exit code of the last process.
    """
    resume = False
    while len(killed) < kills:
        seen = watch(
            start(name, folder, resume=resume), folder, **moment(generator, undisturbed, kills)
        )
        if seen["code"] != -signal.SIGKILL:
            return seen["code"]
        killed.append(seen)
        resume = True
    return watch(start(name, folder, resume=True), folder)["code"]


def moment(generator: random.Random, undisturbed: dict[str, Any], kills: int) -> dict[str, Any]:
    """When to kill: seconds after the start, or changes in the folder and a moment more."""
    if generator.random() < EARLY:
        return {"seconds": generator.uniform(0.3, 1.0) * undisturbed["first_change"]}
    changes, gap = undisturbed["changes"], undisturbed["seconds"] / undisturbed["changes"]
    most = max(LEAST_CHANGES, 2 * changes // kills)
    return {"changes": generator.randint(1, most), "more": generator.uniform(0.0, min(gap, 5.0))}


def start(name: str, folder: Path, *, resume: bool) -> subprocess.Popen:
    """One process of the command."""
    command = [sys.executable, "-m", "jaxrl_rewards.cli", *COMMANDS[name].split()]
    command += ["--out", str(folder), *(["--resume"] if resume else [])]
    with open(f"{folder}.log", "ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=dict(os.environ)
        )


def watch(
    process: subprocess.Popen,
    folder: Path,
    *,
    seconds: float = LIMIT,
    changes: int | None = None,
    more: float = 0.0,
) -> dict[str, Any]:
    """Wait for its end, or kill it after `seconds`, or after `changes` in the folder and `more`."""
    began, seen, count, first = time.perf_counter(), state_of(folder), 0, 0.0
    while process.poll() is None:
        now = state_of(folder)
        if now != seen:
            seen, count = now, count + 1
            first = first or time.perf_counter() - began
        spent = time.perf_counter() - began
        if spent > seconds or (changes is not None and count >= changes):
            time.sleep(more)
            process.kill()
            break
        time.sleep(0.004)
    code = process.wait()
    saved = any(path.name[0].isdigit() for path in folder.glob("checkpoints/*"))
    saved = (
        saved or any(folder.glob("halfway/[!.]*.npz")) or any(folder.glob("trainings/[!.]*.npz"))
    )
    spent = time.perf_counter() - began
    return {
        "code": code, "changes": count, "first_change": first, "saved": saved, "seconds": spent,
    }  # fmt: skip


def state_of(folder: Path) -> frozenset:
    """Names, sizes and times of the files that show how far a run has come."""
    found = set()
    for path in (
        *folder.glob("*"),
        *folder.glob("checkpoints/*"),
        *folder.glob("*/checkpoints/*"),
        *folder.glob("*/*.npz"),
    ):
        try:
            facts = path.stat()
        except OSError:
            continue
        found.add((path.name, facts.st_size, facts.st_mtime_ns))
    return frozenset(found)


if __name__ == "__main__":
    sys.exit(main())
