"""Environment steps until CartPole's mean return reaches a threshold, for our PPO and rejax's.

    python -m benchmarks.learning.cartpole_return ours|rejax SEEDS STEPS EVERY EPISODES

Both sides train all seeds under one `vmap` and stop every `EVERY` updates. Then the same code
judges both: EPISODES fresh episodes of our CartPole (500 steps at most, parity with gymnasium
tested), actions sampled from the policy as rejax's own evaluation does ("sampled"), and the most
likely action ("greedy"). Seeds are 0, 1, 2, ...; none is left out.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.throughput.ppo_settings import PPOSettings
from benchmarks.throughput.ppo_sides import our_learner, ours_chunk, rejax_algorithm, rejax_chunk
from benchmarks.throughput.process import answer

WORLD = "CartPole-v1"
RULES = ("sampled", "greedy")
LEARNING_ENVS = 4
"""64 worlds take too few updates to reach 475 in half a million steps; 4 do."""


def our_policy(settings: PPOSettings) -> Any:
    """`act(state, obs, key, greedy) -> action` of our learner."""
    learner = our_learner(WORLD, settings)

    def act(state, obs, key, greedy):
        return learner.act(state, obs, (), key, deterministic=greedy)[0]

    return act


def rejax_policy(settings: PPOSettings) -> Any:
    """The same of rejax's learner."""
    algorithm = rejax_algorithm(WORLD, settings, 1)

    def act(state, obs, key, greedy):
        if not greedy:
            return algorithm.make_act(state)(obs, key)
        policy = algorithm.actor.apply(state.actor_ts.params, obs[None], method="_action_dist")
        return jnp.argmax(policy.logits[0])

    return act


def mean_return(act: Any, state: Any, key: jax.Array, episodes: int, greedy: bool) -> Any:
    """Mean undiscounted return of one policy over fresh episodes; a pure function."""
    from jaxrl_envs.registry import make

    env = make(WORLD)
    params = env.default_params()

    def one(key):
        key_reset, key_run = jax.random.split(key)
        world, first = env.reset(key_reset, params)

        def running(carry):
            return ~carry[2]

        def step(carry):
            world, obs, _, total, time_step = carry
            key_act, key_step = jax.random.split(jax.random.fold_in(key_run, time_step))
            action = act(state, obs, key_act, greedy)
            world, nxt = env.step(key_step, world, action, params)
            return world, nxt.obs, nxt.done, total + nxt.reward, time_step + 1

        start = (world, first.obs, jnp.zeros((), bool), jnp.zeros(()), jnp.zeros((), jnp.int32))
        return jax.lax.while_loop(running, step, start)[3]

    return jnp.mean(jax.vmap(one)(jax.random.split(key, episodes)))


def curves(
    side: str, settings: PPOSettings, seeds: int, steps: int, every: int, episodes: int
) -> dict[str, Any]:
    """`steps [points]` and per rule `returns [points, seeds]` after each chunk of updates."""
    build = {"ours": ours_chunk, "rejax": rejax_chunk}[side]
    act = {"ours": our_policy, "rejax": rejax_policy}[side](settings)
    init, run = build(WORLD, settings, every)
    make_key = jax.random.key if side == "ours" else jax.random.PRNGKey
    state = jax.jit(jax.vmap(init))(jnp.stack([make_key(seed) for seed in range(seeds)]))
    advance = jax.jit(jax.vmap(run), donate_argnums=0)

    @jax.jit
    def judge(state, key):
        keys = jax.random.split(key, seeds)
        scores = [
            jax.vmap(lambda one, key, greedy=greedy: mean_return(act, one, key, episodes, greedy))(
                state, keys
            )
            for greedy in (False, True)
        ]
        return jnp.stack(scores)

    chunk = every * settings.steps_per_update
    points = -(-steps // chunk)
    returns = []
    for point in range(points):
        state = advance(state)
        # Reduced to what the policy reads before judging, so that state can be donated next time.
        returns.append(np.asarray(judge(state, jax.random.fold_in(jax.random.key(1), point))))
    scores = np.asarray(returns)
    return {
        "steps": [chunk * (point + 1) for point in range(points)],
        "returns": {rule: scores[:, index].tolist() for index, rule in enumerate(RULES)},
    }


def steps_to(threshold: float, steps: Any, returns: Any) -> list[float | None]:
    """Per seed the steps at the first evaluation with a mean return of `threshold`, or None."""
    reached = np.asarray(returns) >= threshold
    first = reached.argmax(axis=0)
    return [
        float(steps[index]) if hit else None
        for index, hit in zip(first, reached.any(axis=0), strict=True)
    ]


def restricted_mean(first: list[float | None], budget: float) -> float:
    """Mean steps to the threshold, a seed that never reached it counting as `budget`."""
    return float(np.mean([budget if value is None else value for value in first]))


def main() -> None:
    """Measure one side and answer its curves."""
    side = sys.argv[1]
    seeds, steps, every, episodes = (int(value) for value in sys.argv[2:6])
    start = time.perf_counter()
    result = curves(side, PPOSettings(num_envs=LEARNING_ENVS), seeds, steps, every, episodes)
    answer({**result, "seconds": time.perf_counter() - start})


if __name__ == "__main__":
    main()
