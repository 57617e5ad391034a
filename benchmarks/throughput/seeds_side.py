"""Compilations of many PPO seeds under one `vmap`, counted by jax's own monitoring events.

python -m benchmarks.throughput.seeds_side SEEDS NUM_ENVS UPDATES
"""

from __future__ import annotations

import sys
import time

import jax

from benchmarks.throughput.ppo_settings import PPOSettings
from benchmarks.throughput.ppo_sides import our_learner
from benchmarks.throughput.process import answer

BACKEND_COMPILE = "/jax/core/compile/backend_compile_duration"


def main() -> None:
    """Answer the number of compilations of the update over several calls with new states."""
    seeds, num_envs, updates = (int(value) for value in sys.argv[1:4])
    settings = PPOSettings(num_envs=num_envs)
    learner = our_learner("CartPole-v1", settings)
    keys = jax.random.split(jax.random.key(0), seeds)
    state = jax.jit(jax.vmap(lambda key: learner.init(key, learner.hparams)))(keys)
    state = jax.block_until_ready(state)
    counts: list[float] = []

    def count(event: str, duration: float, **_: object) -> None:
        if event == BACKEND_COMPILE:
            counts.append(duration)

    jax.monitoring.register_event_duration_secs_listener(count)
    update = jax.jit(jax.vmap(lambda state: learner.update(state, learner.hparams)))
    rates = []
    for _ in range(updates):
        start = time.perf_counter()
        state, metrics = jax.block_until_ready(update(state))
        rates.append(seeds * settings.steps_per_update / (time.perf_counter() - start))
    answer(
        {
            "compilations": len(counts),
            "cache_size": update._cache_size(),
            "compile_seconds": sum(counts),
            "steps_per_second": rates[1:],
            "distinct": len({float(value) for value in metrics["policy_loss"]}),
        }
    )


if __name__ == "__main__":
    main()
