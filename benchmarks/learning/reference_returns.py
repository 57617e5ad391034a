"""Do the presets reach the reference returns? Trains each world's preset and evaluates it.

    python -m benchmarks.learning.reference_returns                    # all presets, 2 seeds
    python -m benchmarks.learning.reference_returns --only CartPole-v1 --seeds 3

Seeds are 0, 1, ...; none is left out. A row holds the mean over seeds of the return of 100
episodes of the most likely actions, the worst seed's, and the training time. With `--only`, the
rows of the other worlds stay as they are in the file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxrl_envs import registry

from benchmarks import report
from jaxrl_rewards.learners.ppo import make_ppo
from jaxrl_rewards.learners.presets import PRESETS, Preset, preset
from jaxrl_rewards.train.evaluation import evaluate_policy

EPISODES = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, evaluate and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=tuple(PRESETS), default=list(PRESETS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=None, help="the JSON file")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds must be at least 1, got {options.seeds}")
    out = options.out or report.results_folder() / "bench-reference-returns.json"
    rows, earlier = stored_rows(out)
    load, start = [report.load()], time.perf_counter()
    for name in options.only:
        rows[name] = measure(preset(name), options.seeds)
        load.append(report.load())
        print(json.dumps(rows[name]), flush=True)
        report.write_benchmark(
            out,
            "reference-returns",
            [rows[known] for known in PRESETS if known in rows],
            command="python -m benchmarks.learning.reference_returns",
            seconds=round(earlier + time.perf_counter() - start, 1),
            load=load,
            settings={"episodes": EPISODES},
        )
    return 0


def stored_rows(path: Path) -> tuple[dict[str, Any], float]:
    """The rows of an earlier run by world, and its seconds; nothing where there is no file."""
    if not path.is_file():
        return {}, 0.0
    record = json.loads(path.read_text(encoding="utf-8"))
    return {row["what"]: row for row in record["rows"]}, float(record.get("seconds") or 0.0)


def measure(recipe: Preset, seeds: int) -> dict[str, Any]:
    """The row of one world."""
    start = time.perf_counter()
    returns = [float(value) for value in train(recipe, seeds)]
    return report.row(
        recipe.env,
        float(np.mean(returns)),
        None,
        "none",
        "return",
        required=recipe.reference_return,
        source=recipe.source,
        worst_seed=min(returns),
        returns=returns,
        seeds=seeds,
        steps=recipe.steps,
        seconds=round(time.perf_counter() - start, 1),
    )


def train(recipe: Preset, seeds: int, updates: int | None = None) -> np.ndarray:
    """Mean return of the trained policy per seed, float32 `[seeds]`; one compiled program."""
    env = registry.make(recipe.env)
    length = recipe.updates if updates is None else updates
    hparams = recipe.hparams(env.default_params(), length)
    learner = make_ppo(env, recipe.config, hparams=hparams)

    def one(key: jax.Array) -> jax.Array:
        state, _ = jax.lax.scan(
            lambda state, _: (learner.update(state, hparams)[0], None),
            learner.init(key, hparams),
            length=length,
        )
        test_key = jax.random.fold_in(key, 1)
        return evaluate_policy(learner, state, env, hparams.env_params, test_key, EPISODES)[
            "return"
        ]

    keys = jax.vmap(jax.random.key)(np.arange(seeds))
    return np.asarray(jax.jit(jax.vmap(one))(keys))


if __name__ == "__main__":
    sys.exit(main())
