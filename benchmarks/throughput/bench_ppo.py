"""PPO against rejax's and, through the adapter, brax's: trained steps/s and steps to a return.

    python -m benchmarks.throughput.bench_ppo [--repetitions 7] [--out FILE] [--only PART ...]

Every library runs in its own process with one XLA thread, compiled ahead of time; repetitions
alternate between them. Parts: `throughput`, `limit` (share of the measured matrix-product rate),
`seeds` (256 seeds under one `vmap`), `learning` (steps until CartPole returns 475).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    _root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(_root), str(_root / "envs")]

from benchmarks import report
from benchmarks.throughput.ppo_settings import WORLDS, PPOSettings, flops_per_step
from benchmarks.throughput.process import Worker, WorkerError, alternate

PARTS = ("throughput", "limit", "seeds", "learning")
REQUIRED = {("CartPole-v1", "rejax"): 1.5, ("Pendulum-v1", "rejax"): 1.5}
SHARE = 0.6
"""Asked of the rate of a float32 matrix product."""
THRESHOLD = 475.0
NOTES = (
    "Ratios above 1 are better than the peer. Rates are medians of alternating repetitions; "
    "compile time is apart, in CPU seconds where a side tells them. Our programs are compiled with "
    "the options that this library sets for itself (`core.compiling`), the peers' with theirs.",
    "Equal settings are not equal algorithms: rejax clips gradients element by element and per "
    "network, ours and brax by their norm; rejax treats a time limit as a termination; brax acts "
    "in CartPole by the larger of two tanh-normal numbers, since it has no discrete actions, and "
    "computes advantages anew in every minibatch.",
    "Steps to a return: the first evaluation whose mean return over fresh episodes reaches "
    f"{THRESHOLD:g}, the same worlds and code for both; 'sampled' draws actions from the policy "
    "(rejax's own rule), 'greedy' takes the most likely one. A seed that never reaches it counts "
    "with the whole budget.",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts asked for and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=7, help="per side, at least 5 to quote")
    parser.add_argument("--chunk", type=int, default=64, help="updates per repetition")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument("--peers", nargs="*", choices=("rejax", "brax"), default=["rejax", "brax"])
    parser.add_argument("--seeds", type=int, default=256, help="seeds under one vmap")
    parser.add_argument("--learning-seeds", type=int, default=16)
    parser.add_argument("--learning-steps", type=int, default=500_000)
    parser.add_argument("--learning-every", type=int, default=8, help="updates per evaluation")
    parser.add_argument("--learning-episodes", type=int, default=64)
    parser.add_argument("--out", type=Path, help="file to write; by default beside the results")
    options = parser.parse_args(arguments)
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = report.command_line("benchmarks.throughput.bench_ppo", given)

    start, loads, rows = time.perf_counter(), [report.load()], []
    details: dict[str, Any] = {}
    if {"throughput", "limit"} & set(options.only):
        for world in options.worlds:
            rows += throughput(world, options)
            loads.append(report.load())
    if "seeds" in options.only:
        rows += many_seeds(options)
        loads.append(report.load())
    if "learning" in options.only:
        more, details["learning"] = learning(options)
        rows += more
        loads.append(report.load())
    report.print_rows(rows)
    path = report.write_benchmark(
        options.out or report.results_folder() / "bench-ppo.json",
        "ppo",
        rows,
        command=command,
        seconds=time.perf_counter() - start,
        load=loads,
        settings={**vars(PPOSettings()), "chunk": options.chunk, "xla_threads": 1, **details},
        notes=NOTES,
    )
    print(path)
    return 0


def throughput(world: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of one world: against each peer, against the matrix-product rate, compile times."""
    settings = PPOSettings()
    sizes = [world, str(options.chunk), str(settings.num_envs), "1"]

    def side(name: str) -> Any:
        return lambda: Worker("benchmarks.throughput.ppo_sides", [name, *sizes])

    sides = {name: side(name) for name in ("ours", *options.peers)}
    if "limit" in options.only:
        sides["matmul"] = lambda: Worker("benchmarks.throughput.matmul_side", [])
    ready, answers, failed = alternate(sides, options.repetitions, report=_say)
    if "ours" in failed:
        raise SystemExit(f"our PPO could not be measured on {world}: {failed['ours']}")
    rates = {
        name: [answer["steps_per_second"] for answer in answers[name]]
        for name in answers
        if name != "matmul"
    }
    rows = []
    what = f"PPO on {world}, {settings.num_envs} environments x {settings.unroll_length}"
    for peer in [name for name in options.peers if name in rates]:
        rows += _peer_rows(what, peer, rates, answers, ready, REQUIRED.get((world, peer)))
    if "matmul" in answers:
        work = flops_per_step(settings, world)
        rows.append(
            report.timed_row(
                f"{what}: fraction of the physical limit ({work / 1e3:.0f} kFLOP per step)",
                [answer["steps_per_cpu_second"] * work / 1e9 for answer in answers["ours"]],
                [answer["flops_per_second"] / 1e9 for answer in answers["matmul"]],
                "float32 matrix product",
                "GFLOP/s, by CPU time",
                required=SHARE,
            )
        )
    for peer, reason in failed.items():
        print(f"{world}: {peer} left out: {reason}", file=sys.stderr)
    return rows


def _peer_rows(
    what: str, peer: str, rates: Any, answers: Any, ready: Any, required: float | None
) -> list[dict[str, Any]]:
    """Rates and compile times beside one peer's."""
    cpu = {
        name: statistics.median(answer["steps_per_cpu_second"] for answer in answers[name])
        for name in ("ours", peer)
    }
    return [
        report.timed_row(
            what,
            rates["ours"],
            rates[peer],
            peer,
            "trained env steps/s",
            required=required,
            ratio_per_cpu_second=round(cpu["ours"] / cpu[peer], 4),
        ),
        report.row(
            f"{what}: compile",
            _compile_seconds(ready["ours"]),
            _compile_seconds(ready[peer]),
            peer,
            "CPU seconds",
            required=1.0 if peer == "rejax" else None,
            lower_is_better=True,
        ),
    ]


def _compile_seconds(ready: dict[str, Any]) -> float:
    """In CPU time where the side tells it: a compile uses more than one thread."""
    return ready.get("compile_cpu_seconds", ready["compile_seconds"])


def many_seeds(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Compilations of the update for many seeds under one `vmap`, and their summed rate."""
    sizes = [str(options.seeds), "4", "5"]
    with Worker("benchmarks.throughput.seeds_side", sizes, timeout=1800) as worker:
        answer = worker.receive()
    _say(f"seeds: {answer}")
    if answer["distinct"] < 0.99 * options.seeds:
        raise SystemExit(f"only {answer['distinct']} of {options.seeds} seeds differ")
    what = f"{options.seeds} seeds of PPO on CartPole-v1 under one vmap, 4 environments x 128"
    compilations = float(max(answer["compilations"], answer["cache_size"]))
    return [
        report.row(
            what,
            compilations,
            1.0,
            "one compile",
            "compilations in 5 updates",
            required=1.0,
            lower_is_better=True,
            compile_seconds=round(answer["compile_seconds"], 2),
        ),
        report.timed_row(what, answer["steps_per_second"], [], "none", "trained env steps/s, sum"),
    ]


def learning(options: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Steps until CartPole's mean return reaches the threshold, over seeds."""
    from benchmarks.learning.cartpole_return import RULES

    results = _learning_results(options)
    rows, details = [], {"envs": 4, "evaluated_episodes": options.learning_episodes}
    for rule in RULES:
        found, details[rule] = _learning_rows(rule, results, options.learning_seeds)
        rows += found
    details["steps"] = results["ours"]["steps"]
    return rows, details


def _learning_results(options: argparse.Namespace) -> dict[str, Any]:
    """Returns along training of our PPO and, where it is installed, of rejax's."""
    sizes = [
        str(value)
        for value in (
            options.learning_seeds,
            options.learning_steps,
            options.learning_every,
            options.learning_episodes,
        )
    ]
    results = {}
    for name in ("ours", "rejax"):
        try:
            module = "benchmarks.learning.cartpole_return"
            with Worker(module, [name, *sizes], timeout=3600) as worker:
                results[name] = worker.receive()
        except WorkerError as error:
            if name == "ours":
                raise SystemExit(f"our PPO could not be measured: {error}") from error
            print(f"rejax left out: {error}", file=sys.stderr)
    return results


def _learning_rows(
    rule: str, results: dict[str, Any], seeds: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Steps to the threshold and the last return under one rule of acting, and their details."""
    from benchmarks.learning.cartpole_return import restricted_mean, steps_to
    from jaxrl_rewards.studies.api import difference_interval

    budget = results["ours"]["steps"][-1]
    first = {
        name: steps_to(THRESHOLD, result["steps"], result["returns"][rule])
        for name, result in results.items()
    }
    filled = {
        name: [budget if value is None else value for value in values]
        for name, values in first.items()
    }
    extra: dict[str, Any] = {
        "seeds": seeds,
        "reached": {name: sum(v is not None for v in first[name]) for name in first},
        "median": {name: statistics.median(filled[name]) for name in first},
    }
    if "rejax" in filled:
        interval = difference_interval(filled["ours"], filled["rejax"], paired=False)
        extra["difference_interval"] = [round(value) for value in interval]
    steps = report.row(
        f"CartPole-v1, 4 environments x 128: mean steps to return {THRESHOLD:g}, {rule}",
        restricted_mean(first["ours"], budget),
        restricted_mean(first["rejax"], budget) if "rejax" in first else None,
        "rejax",
        "env steps",
        required=1.0 if rule == "sampled" else None,
        lower_is_better=True,
        **extra,
    )
    last = {name: results[name]["returns"][rule][-1] for name in results}
    returns = report.row(
        f"CartPole-v1, 4 environments x 128: mean return after {budget:,} steps, {rule}",
        statistics.fmean(last["ours"]),
        statistics.fmean(last["rejax"]) if "rejax" in last else None,
        "rejax",
        "return",
        seeds=seeds,
    )
    details = {
        "steps_to_threshold": first,
        "mean_return": {
            name: [round(statistics.fmean(point), 1) for point in result["returns"][rule]]
            for name, result in results.items()
        },
    }
    return [steps, returns], details


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
