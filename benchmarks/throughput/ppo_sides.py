"""PPO as each library runs it at the same settings: a jitted chunk of updates, measured on request.

    python -m benchmarks.throughput.ppo_sides ours|rejax|brax WORLD CHUNK NUM_ENVS SEEDS

Every answer holds `steps_per_second` of one chunk, the compile being done before. With SEEDS above
1 that many learners run under one `vmap` and their steps are added up.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.throughput.ppo_settings import PPOSettings
from benchmarks.throughput.process import answer, requests, serve
from jaxrl_rewards.core.compiling import jit_program


def our_learner(world: str, settings: PPOSettings) -> Any:
    """Our PPO with its hyper-parameters."""
    from jaxrl_envs.registry import make

    from jaxrl_rewards.learners import PPOConfig, PPOHParams, make_ppo

    env = make(world)
    config = PPOConfig(
        num_envs=settings.num_envs,
        unroll_length=settings.unroll_length,
        num_epochs=settings.num_epochs,
        num_minibatches=settings.num_minibatches,
        hidden=settings.hidden,
        activation="tanh",
    )
    hparams = PPOHParams(
        env_params=env.default_params(),
        learning_rate=settings.learning_rate,
        discount=settings.discount,
        trace_decay=settings.trace_decay,
        clip=settings.clip,
        entropy_coefficient=settings.entropy_coefficient,
        value_coefficient=settings.value_coefficient,
        max_grad_norm=settings.max_grad_norm,
    )
    return make_ppo(env, config, hparams=hparams)


def rejax_algorithm(world: str, settings: PPOSettings, chunk: int) -> Any:
    """rejax's PPO whose `train` runs `chunk` updates and evaluates nothing."""
    import gymnax
    from rejax import PPO

    base, env_params = gymnax.make(world)

    class FiveValues(type(base)):
        """gymnax 1.0 tells termination and truncation apart; rejax 0.1.3 expects one flag."""

        def step(self, key, state, action, params=None):
            out = super().step(key, state, action, params)
            if len(out) == 5:
                return out
            obs, state, reward, terminated, truncated, info = out
            return obs, state, reward, jnp.logical_or(terminated, truncated), info

    steps = chunk * settings.steps_per_update
    algorithm = PPO.create(
        env=FiveValues(),
        env_params=env_params,
        num_envs=settings.num_envs,
        num_steps=settings.unroll_length,
        num_epochs=settings.num_epochs,
        num_minibatches=settings.num_minibatches,
        agent_kwargs={"hidden_layer_sizes": settings.hidden, "activation": "tanh"},
        learning_rate=settings.learning_rate,
        gamma=settings.discount,
        gae_lambda=settings.trace_decay,
        clip_eps=settings.clip,
        ent_coef=settings.entropy_coefficient,
        vf_coef=settings.value_coefficient,
        max_grad_norm=settings.max_grad_norm,
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
        normalize_observations=False,
        normalize_rewards=False,
    )
    return algorithm.replace(eval_callback=lambda algorithm, state, key: ())


def ours_chunk(world: str, settings: PPOSettings, chunk: int) -> tuple[Any, Any]:
    """`(init(key), run(state))` of our PPO, `run` taking `chunk` updates."""
    learner = our_learner(world, settings)

    def run(state):
        return jax.lax.scan(
            lambda inner, _: (learner.update(inner, learner.hparams)[0], None),
            state,
            length=chunk,
        )[0]

    return lambda key: learner.init(key, learner.hparams), run


def rejax_chunk(world: str, settings: PPOSettings, chunk: int) -> tuple[Any, Any]:
    """`(init(key), run(state))` of rejax's PPO."""
    algorithm = rejax_algorithm(world, settings, chunk)
    return algorithm.init_state, lambda state: algorithm.train(train_state=state)[0]


def measure_chunks(side: str, world: str, settings: PPOSettings, chunk: int, seeds: int) -> None:
    """Compile `chunk` updates ahead of time, then run one chunk per request."""
    build = {"ours": ours_chunk, "rejax": rejax_chunk}[side]
    init, run = build(world, settings, chunk)
    keys = jax.random.key(0) if side == "ours" else jax.random.PRNGKey(0)
    if seeds > 1:
        keys = jax.random.split(keys, seeds)
        init, run = jax.vmap(init), jax.vmap(run)
    state = jax.block_until_ready(jax.jit(init)(keys))
    start, used = time.perf_counter(), time.process_time()
    jit = jit_program if side == "ours" else jax.jit  # as our runner compiles a chunk
    compiled = jit(run, donate_argnums=0).lower(state).compile()
    ready = {
        "compile_seconds": time.perf_counter() - start,
        "compile_cpu_seconds": time.process_time() - used,
    }
    holder = [jax.block_until_ready(compiled(state))]
    steps = chunk * settings.steps_per_update * seeds

    def measure() -> dict[str, Any]:
        begun, used = time.perf_counter(), time.process_time()
        holder[0] = jax.block_until_ready(compiled(holder[0]))
        seconds, cpu = time.perf_counter() - begun, time.process_time() - used
        return {
            "steps_per_second": steps / seconds,
            "steps_per_cpu_second": steps / cpu,
            "seconds": seconds,
        }

    serve({**ready, "steps": steps}, measure)


def measure_brax(world: str, settings: PPOSettings, chunk: int) -> None:
    """brax's trainer on our world through the adapter; it pauses after every chunk."""
    _supply_replication()
    from brax.training.agents.ppo import networks, train
    from jaxrl_envs.adapters import to_brax
    from jaxrl_envs.registry import make

    env = make(world)
    steps = chunk * settings.steps_per_update
    waiting = iter(requests())
    begun, used = time.perf_counter(), time.process_time()
    calls = 0

    class Finished(Exception):
        """Nothing more to measure."""

    def progress(_: int, metrics: dict[str, Any]) -> None:
        nonlocal calls, used
        calls += 1
        cpu, used = time.process_time() - used, time.process_time()
        rate = float(metrics["training/sps"])
        if calls < 3:  # the trainer compiles its first two chunks
            return
        if calls == 3:
            answer({"compile_seconds": time.perf_counter() - begun, "steps": steps})
        else:
            answer(
                {
                    "steps_per_second": rate,
                    "steps_per_cpu_second": steps / cpu,
                    "seconds": steps / rate,
                }
            )
        if next(waiting, None) is None:
            raise Finished

    with contextlib.suppress(Finished):
        train.train(
            to_brax(env),
            num_timesteps=1000 * steps,
            num_evals=1001,
            run_evals=False,
            progress_fn=progress,
            episode_length=env.spec.max_steps,
            **_brax_numbers(settings),
            network_factory=functools.partial(
                networks.make_ppo_networks,
                policy_hidden_layer_sizes=settings.hidden,
                value_hidden_layer_sizes=settings.hidden,
                activation=jnp.tanh,
            ),
        )


def _brax_numbers(settings: PPOSettings) -> dict[str, Any]:
    """The settings under brax's names."""
    return {
        "num_envs": settings.num_envs,
        "unroll_length": settings.unroll_length,
        "batch_size": settings.num_envs // settings.num_minibatches,
        "num_minibatches": settings.num_minibatches,
        "num_updates_per_batch": settings.num_epochs,
        "learning_rate": settings.learning_rate,
        "discounting": settings.discount,
        "gae_lambda": settings.trace_decay,
        "clipping_epsilon": settings.clip,
        "entropy_cost": settings.entropy_coefficient,
        "vf_loss_coefficient": settings.value_coefficient,
        "max_grad_norm": settings.max_grad_norm,
        "normalize_observations": False,
    }


def _supply_replication() -> None:
    """brax 0.14.2 calls a function that jax 0.10 removed; give it one of the same effect."""
    if hasattr(jax, "device_put_replicated"):
        return

    def device_put_replicated(tree: Any, devices: Any) -> Any:
        mesh = jax.sharding.Mesh(devices, ("i",))
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("i"))
        return jax.tree.map(
            lambda leaf: jax.device_put(jnp.stack([jnp.asarray(leaf)] * len(devices)), sharding),
            tree,
        )

    jax.device_put_replicated = device_put_replicated


def main() -> None:
    """Run one side as asked on the command line."""
    side, world = sys.argv[1:3]
    chunk, num_envs, seeds = (int(value) for value in sys.argv[3:6])
    settings = PPOSettings(num_envs=num_envs)
    if side == "brax":
        measure_brax(world, settings, chunk)
    else:
        measure_chunks(side, world, settings, chunk, seeds)


if __name__ == "__main__":
    main()
