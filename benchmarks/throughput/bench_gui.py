"""GUI frames/s and reward evaluations/s against NumPy, as loops and vectorised.

    python -m benchmarks.throughput.bench_gui [--repetitions 9] [--out FILE]

One process, one XLA thread and one NumPy thread; compiled ahead of time, sides in turn. Before
timing, every side must give the same pixels and rewards.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ["PJRT_NPROC"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
if __package__ in (None, ""):
    _root = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(_root), str(_root / "envs")]

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.gui.layout import ScreenConfig, layout_params, sample_layout
from jaxrl_envs.gui.render import render
from jaxrl_envs.registry import make

from benchmarks import report
from benchmarks.throughput import numpy_gui
from jaxrl_rewards.rewards.spatial import (
    combined_reward,
    gaussian_coverage_reward_safe,
    gaussian_point_reward,
)

SCREENS = (ScreenConfig(64, 64, 1), ScreenConfig(256, 192, 2))
LOOP, VECTORISED = "NumPy, a loop over elements", "NumPy, vectorised over the batch"
ANSWER_LOOP = "a loop over answers"
NOTES = (
    "Ratios above 1 are better than the peer; medians of calls in turn, compile time apart. All "
    "sides give the same pixels, and the same rewards up to rounding, which is checked first.",
    "The loop over answers works on Python floats, which is faster than NumPy on single numbers.",
)


def rewards(pred: Any, gt: Any) -> Any:
    """Gaussian point + coverage reward, `[N]`."""
    return combined_reward(gaussian_point_reward(pred, gt), gaussian_coverage_reward_safe(pred, gt))


def random_boxes(key: Any, count: int) -> tuple[Any, Any]:
    """Targets of 5 to 40 pixels, and answers near them; float32 `[N, 4]` each."""
    keys = jax.random.split(key, 4)
    corner = jax.random.uniform(keys[0], (count, 2), maxval=1000.0, dtype=jnp.float32)
    size = jax.random.uniform(keys[1], (count, 2), minval=5.0, maxval=40.0, dtype=jnp.float32)
    shift = 10.0 * jax.random.normal(keys[2], (count, 2), dtype=jnp.float32)
    other = jax.random.uniform(keys[3], (count, 2), minval=5.0, maxval=40.0, dtype=jnp.float32)
    gt = jnp.concatenate([corner, corner + size], axis=-1)
    pred = jnp.concatenate([corner + shift, corner + shift + other], axis=-1)
    return pred, gt


def rates(sides: dict[str, Callable[[], Any]], count: int, repetitions: int, seconds: float):
    """Items per second of every side, `repetitions` each, in turn.

    A repetition calls a side as often as about `seconds` allow.
    """
    calls = {}
    for name, run in sides.items():
        run()
        start = time.perf_counter()
        run()
        calls[name] = max(1, int(seconds / max(time.perf_counter() - start, 1e-6)))
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repetitions):
        for name, run in sides.items():
            start = time.perf_counter()
            for _ in range(calls[name]):
                run()
            found[name].append(count * calls[name] / (time.perf_counter() - start))
    return found


def frame_rows(config: ScreenConfig, batch: int, options: Any) -> list[dict[str, Any]]:
    """Frames/s of painting given screens."""
    keys = jax.random.split(jax.random.key(0), batch)
    sample = jax.jit(jax.vmap(lambda key: sample_layout(key, config, layout_params())))
    layouts = jax.block_until_ready(sample(keys))
    start = time.perf_counter()
    paint = jax.jit(jax.vmap(lambda one: render(one, config))).lower(layouts).compile()
    compile_seconds = time.perf_counter() - start
    host, painter = numpy_gui.to_numpy(layouts), numpy_gui.LoopPainter(config)
    sides = {
        "ours": lambda: jax.block_until_ready(paint(layouts)),
        LOOP: lambda: numpy_gui.render_loop(host, painter),
        VECTORISED: lambda: numpy_gui.render_vectorised(host, config),
    }
    expected = np.asarray(sides["ours"]())
    for name, run in sides.items():
        if not np.array_equal(np.asarray(run()), expected):
            raise SystemExit(f"{name} paints other pixels at {config}; nothing was timed")
    found = rates(sides, batch, options.repetitions, options.seconds)
    what = f"GUI screens of {config.width} x {config.height}, batch {batch}"
    return [
        report.timed_row(
            what,
            found["ours"],
            found[peer],
            peer,
            "frames/s",
            compile_seconds=round(compile_seconds, 2),
        )
        for peer in (LOOP, VECTORISED)
    ]


def reward_rows(count: int, options: Any) -> list[dict[str, Any]]:
    """Evaluations/s of the point and coverage reward."""
    pred, gt = random_boxes(jax.random.key(1), count)
    start = time.perf_counter()
    score = jax.jit(rewards).lower(pred, gt).compile()
    compile_seconds = time.perf_counter() - start
    few = min(count, 4096)
    host_pred, host_gt = np.asarray(pred), np.asarray(gt)
    sides = {
        "ours": lambda: jax.block_until_ready(score(pred, gt)),
        VECTORISED: lambda: numpy_gui.rewards_vectorised(host_pred, host_gt),
    }
    expected = np.asarray(sides["ours"]())
    loop = numpy_gui.rewards_loop(host_pred[:few], host_gt[:few])
    np.testing.assert_allclose(loop, expected[:few], rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(sides[VECTORISED](), expected, rtol=2e-4, atol=1e-5)
    # The loop's rate does not depend on the batch: scaled to the same number of items per call.
    sides[ANSWER_LOOP] = lambda: [
        numpy_gui.rewards_loop(host_pred[at : at + few], host_gt[at : at + few])
        for at in range(0, count, few)
    ]
    found = rates(sides, count, options.repetitions, options.seconds)
    what = f"Gaussian point + coverage reward, {count} answers"
    return [
        report.timed_row(
            what,
            found["ours"],
            found[peer],
            peer,
            "evaluations/s",
            compile_seconds=round(compile_seconds, 2),
        )
        for peer in (ANSWER_LOOP, VECTORISED)
    ]


def episode_rows(batch: int, options: Any) -> list[dict[str, Any]]:
    """Whole episodes/s: draw a screen and an instruction, paint, answer, score. No peer."""
    env = make("gui-ground")
    params = env.default_params()

    def episode(key):
        key_reset, key_step = jax.random.split(key)
        state, timestep = env.reset(key_reset, params)
        action = env.spec.action_space.sample(key_step)
        nxt = env.step(key_step, state, action, params)[1]
        return timestep.obs, nxt.reward

    keys = jax.random.split(jax.random.key(2), batch)
    start = time.perf_counter()
    run = jax.jit(jax.vmap(episode)).lower(keys).compile()
    compile_seconds = time.perf_counter() - start
    sides = {"ours": lambda: jax.block_until_ready(run(keys))}
    found = rates(sides, batch, options.repetitions, options.seconds)
    return [
        report.timed_row(
            f"GUI grounding episodes of 64 x 64 pixels, batch {batch}",
            found["ours"],
            [],
            "none",
            "episodes/s",
            compile_seconds=round(compile_seconds, 2),
        )
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=9, help="per side, at least 5 to quote")
    parser.add_argument("--seconds", type=float, default=0.5, help="per repetition and side")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--answers", type=int, default=65_536)
    parser.add_argument("--out", type=Path, help="file to write; by default beside the results")
    options = parser.parse_args(arguments)
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = report.command_line("benchmarks.throughput.bench_gui", given)
    start, loads, rows = time.perf_counter(), [report.load()], []
    for config in SCREENS:
        batch = max(4, options.batch * 64 * 64 // (config.width * config.height))
        rows += frame_rows(config, batch, options)
    loads.append(report.load())
    rows += reward_rows(options.answers, options)
    rows += episode_rows(options.batch, options)
    loads.append(report.load())
    report.print_rows(rows)
    path = report.write_benchmark(
        options.out or report.results_folder() / "bench-gui.json",
        "gui",
        rows,
        command=command,
        seconds=time.perf_counter() - start,
        load=loads,
        settings={"dtype": "uint8 pixels, float32 rewards", "xla_threads": 1, "numpy_threads": 1},
        notes=NOTES,
    )
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
