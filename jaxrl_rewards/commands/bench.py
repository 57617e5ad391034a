"""`jaxrl-rewards bench`: throughput of a checkout, beside other libraries where installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.train.arguments import choose

SUITES = {
    "ppo": "trained steps/s of PPO on CartPole and Pendulum, against rejax and brax",
    "gui": "GUI frames/s and reward evaluations/s, against a plain NumPy loop",
}


def main(arguments: Sequence[str]) -> int:
    """Run one benchmark, or all of them when none is named."""
    folder = Path(__file__).resolve().parents[2] / "benchmarks" / "throughput"
    if arguments and arguments[0] in ("-h", "--help"):
        choose(arguments, SUITES, prog="jaxrl-rewards bench", what="benchmark")
        return 0
    if not folder.is_dir():
        raise InputError("benchmarks are part of the source checkout; run `bench` from one")
    names, rest = (list(SUITES), list(arguments))
    if arguments and not arguments[0].startswith("-"):
        suite, rest = choose(arguments, SUITES, prog="jaxrl-rewards bench", what="benchmark")
        names = [suite]
    for name in names:
        done = subprocess.run([sys.executable, str(folder / f"bench_{name}.py"), *rest])
        if done.returncode:
            return done.returncode
    return 0
