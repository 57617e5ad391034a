"""Physics engines: control steps/s per engine and batch size, against raw MuJoCo, MJX and peers.

    python -m benchmarks.throughput.bench_physics [--engines c jax warp] [--batch 16 256 1024 4096]
        [--env retarget] [--peers mjx mjx-tuned brax playground loco] [--ppo] [--limit SECONDS]

Without `--env` it measures MuJoCo's humanoid under random controls; with it, a registered world:
observations, rewards, auto-reset and physics, under random actions. Each side runs in its own
process with its compile apart; repetitions alternate. A side that fails is a row with its error.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    _root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(_root), str(_root / "envs")]

from benchmarks import report
from benchmarks.throughput.process import Worker, WorkerError

MODULE = "benchmarks.throughput.bench_physics_side"
ENGINES = ("c", "jax", "warp")
PEERS = ("mjx", "mjx-tuned", "brax", "playground", "loco")
PEER_NAMES = {
    "mjx": "plain MJX, default solver",
    "mjx-tuned": "plain MJX, 1 Newton iteration, 4 line search",
    "brax": "brax humanoid, MJX pipeline, 5 substeps",
    "playground": "mujoco_playground HumanoidWalk",
    "loco": "loco-mujoco MjxSkeletonTorque",
}
RAW = "mujoco.batch, same states, controls and substeps"
REQUIRED_OF_RAW, REQUIRED_OF_MJX = 0.8, 3.0
UNIT = "control steps/s"
NOTES = (
    "Ratios above 1 are better than the peer. Rates are medians of alternating repetitions, "
    "without compile.",
    "mujoco.batch steps the states and controls that engine c's callback was given in the same "
    "repetition, right after; only its stepping is timed, without derived fields at the new state, "
    "copies or observations, and the ratio is the median of the repetitions' ratios. The random "
    "actions of a registered world are drawn beforehand on both sides.",
    "brax, mujoco_playground and loco-mujoco have their own humanoids, substeps, observations and "
    "rewards: a scale, not a like-for-like comparison.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["c", "jax"])
    parser.add_argument("--batch", nargs="+", type=int, default=[16, 256, 1024, 4096])
    parser.add_argument("--substeps", type=int, default=3, help="physics steps per control step")
    parser.add_argument("--env", default="", help="a registered world instead of bare physics")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--ppo", action="store_true", help="PPO samples/s too; needs --env")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--samples", type=int, default=8192, help="control steps per repetition")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds for all of it")
    parser.add_argument("--side-limit", type=float, default=300.0, help="seconds for one answer")
    parser.add_argument(
        "--lock", type=Path, help="file by which runs on one device measure in turn"
    )
    parser.add_argument("--out", type=Path, help="file to write; by default beside the results")
    options = parser.parse_args(arguments)
    if options.ppo and not options.env:
        parser.error("--ppo needs --env")
    given = sys.argv[1:] if arguments is None else list(arguments)
    # sides of one machine share its accelerator
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    start, loads, rows = time.perf_counter(), [report.load()], []
    deadline = start + options.limit
    for batch in options.batch:
        rows += measure(batch, options, deadline)
        loads.append(report.load())
    report.print_rows(rows)
    path = report.write_benchmark(
        options.out or report.results_folder() / "bench-physics.json",
        "physics",
        rows,
        command=report.command_line("benchmarks.throughput.bench_physics", given),
        seconds=time.perf_counter() - start,
        load=loads,
        settings={
            "world": options.env or "MuJoCo's humanoid, 27 degrees of freedom, random controls",
            "substeps": "the world's" if options.env else options.substeps,
            "samples": options.samples,
        },
        notes=NOTES,
    )
    print(path)
    return 0


def measure(batch: int, options: argparse.Namespace, deadline: float) -> list[dict[str, Any]]:
    """Rows of one batch size."""
    sides = [*options.engines, *options.peers]
    sides += [f"ppo-{engine}" for engine in options.engines] if options.ppo else []
    ready, answers, failed = alternate(sides, batch, options, deadline)
    what = f"{options.env or 'humanoid'}, {batch} environments"
    rates = {side: [answer["steps_per_second"] for answer in answers[side]] for side in answers}
    rows = [
        report.row(f"{what}: {side}", None, None, "none", UNIT, error=reason)
        for side, reason in failed.items()
    ]
    for engine in [engine for engine in options.engines if engine in rates]:
        peers = [peer for peer in options.peers if peer in rates]
        rows += _engine_rows(what, engine, peers, rates, answers[engine], ready)
    for side in [side for side in rates if side.startswith("ppo-")]:
        engine = side.removeprefix("ppo-")
        rows.append(
            report.timed_row(
                f"{what}: PPO on engine {engine}",
                rates[side],
                rates.get(engine, []),
                "the world alone, random actions",
                "trained control steps/s",
                **ready[side],
            )
        )
    return rows


def _engine_rows(
    what: str,
    engine: str,
    peers: Sequence[str],
    rates: dict[str, list[float]],
    answers: list[dict[str, Any]],
    ready: dict[str, Any],
) -> list[dict[str, Any]]:
    """An engine beside raw MuJoCo, where it calls it, and beside every peer."""
    extra = {**ready[engine]}
    name = f"{what}: engine {engine}"
    raw = [a["raw_steps_per_second"] for a in answers if "raw_steps_per_second" in a]
    if raw:
        extra["share_in_mujoco"] = _middle(answers, "mujoco_share")
        extra["ratio_per_cpu_second"] = _middle(answers, "cpu_ratio_to_raw")
        extra["share_in_callback"] = _middle(answers, "callback_share")
    rows = [
        report.timed_row(
            name,
            rates[engine],
            raw,
            RAW if raw else "none",
            UNIT,
            required=REQUIRED_OF_RAW if raw else None,
            paired=True,
            **extra,
        )
    ]
    others = {peer: PEER_NAMES[peer] for peer in peers}
    if engine == "c" and "jax" in rates:
        others["jax"] = "engine jax, tuned"
    for peer, title in others.items():
        required = REQUIRED_OF_MJX if (engine, peer) == ("c", "jax") else None
        rows.append(
            report.timed_row(
                name,
                rates[engine],
                rates[peer],
                title,
                UNIT,
                required=required,
                peer_compile_seconds=ready[peer]["compile_seconds"],
            )
        )
    return rows


def alternate(
    sides: Sequence[str], batch: int, options: argparse.Namespace, deadline: float
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]], dict[str, str]]:
    """Start the sides one after the other, measure them in turn; failures and time-outs by name."""
    steps = max(4, round(options.samples / batch))
    workers: dict[str, Worker] = {}
    ready: dict[str, Any] = {}
    failed: dict[str, str] = {}
    answers: dict[str, list[dict[str, Any]]] = {}

    def fail(side: str, error: Exception) -> None:
        failed[side] = str(error)
        answers.pop(side, None)
        workers.pop(side).close()
        print(f"{batch} environments, {side}: {error}", file=sys.stderr, flush=True)

    try:
        for side in sides:
            left = min(options.side_limit, deadline - time.perf_counter())
            if left < 5:
                failed[side] = "not started: the time limit was reached"
                continue
            named = [options.env] if options.env and side not in PEERS else []
            sizes = [str(batch), str(options.substeps), str(steps)]
            workers[side] = Worker(MODULE, [side, *sizes, *named], timeout=left)
            try:
                ready[side] = workers[side].receive()
                answers[side] = []
                print(f"{batch} environments, {side}: {ready[side]}", file=sys.stderr, flush=True)
            except WorkerError as error:
                fail(side, error)
        with turn(options.lock):
            for _ in range(options.repetitions):
                for side in list(answers):
                    if time.perf_counter() > deadline and answers[side]:
                        continue
                    try:
                        answers[side].append(workers[side].ask())
                    except WorkerError as error:
                        fail(side, error)
    finally:
        for worker in workers.values():
            worker.close()
    return ready, {side: found for side, found in answers.items() if found}, failed


@contextlib.contextmanager
def turn(lock: Path | None) -> Iterator[None]:
    """Hold the lock file, so that runs side by side compile together and measure in turn."""
    if lock is None:
        yield
        return
    with open(lock, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _middle(answers: list[dict[str, Any]], key: str) -> float:
    return round(statistics.median(answer[key] for answer in answers), 4)


if __name__ == "__main__":
    sys.exit(main())
