"""`jaxrl-rewards train ppo`: PPO on a registered world."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.commands.reward_options import split_reward_options
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import parse_json
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.learners.presets import PRESETS, preset
from jaxrl_rewards.rewards.schedule import Linear
from jaxrl_rewards.train.arguments import parse


@dataclasses.dataclass(frozen=True)
class PPOTask:
    """Train PPO on a world."""

    env: str = "CartPole-v1"
    """Name of the world; `jaxrl-rewards list` shows all."""
    out: Path | None = None
    """Folder of the run; runs/ppo-ENV by default."""
    preset: str = "auto"
    """Recipe that sets the other flags' defaults: auto (the world's own, where it has one), none,
    or the name of a world that has one."""
    steps: int = 500_000
    """Environment steps per seed."""
    seeds: int = 1
    """Independent seeds, trained side by side under one vmap."""
    seed: int = 0
    """Seed of the random key."""
    resume: bool = False
    """Go on from the newest checkpoint in the folder."""
    learning_rate: float = 2.5e-4
    """Adam's step size, decayed linearly to 0 unless --anneal False."""
    anneal: bool = True
    """Decay the learning rate linearly to 0."""
    discount: float = 0.99
    """Discount factor."""
    trace_decay: float = 0.95
    """Lambda of generalised advantage estimation."""
    clip: float = 0.2
    """Clip range of the importance ratio."""
    entropy_coefficient: float = 0.01
    """Weight of the entropy bonus."""
    value_coefficient: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Norm to which the gradients of actor and critic are clipped."""
    critic_learning_rate: float | None = None
    """The critic's own step size; the learning rate when not given."""
    target_kl: float = 0.06
    """With --adapt-to-kl: how far an update moves the policy (KL divergence)."""
    reward_weights: str = "{}"
    """New weights of reward terms: --reward.torque 0, or --reward-weights torque=0 angle=2."""
    chunk: int = 10
    """Updates per logged row."""
    checkpoint_every: int | None = None
    """Updates between checkpoints; a tenth of the run by default."""
    evaluation_episodes: int = 32
    """Episodes per evaluation."""
    tensorboard: bool = False
    """Also write TensorBoard files (needs the `log` extra)."""
    ppo: PPOConfig = PPOConfig()  # noqa: RUF009
    """Static sizes and switches."""


def main(arguments: Sequence[str]) -> int:
    """Parse the flags and train."""
    arguments = split_reward_options(arguments)
    task = parse(
        PPOTask,
        arguments,
        prog="jaxrl-rewards train ppo",
        description="Train PPO on a world.",
        default=recommended(arguments),
    )
    return run_ppo(task)


def recommended(arguments: Sequence[str]) -> PPOTask:
    """What flags are by default: the recipe of the world that is named, where there is one."""
    chosen = {"--env": PPOTask.env, "--preset": PPOTask.preset}
    for index, token in enumerate(arguments):
        name, given, value = token.partition("=")
        if name in chosen:
            chosen[name] = value if given else "".join(arguments[index + 1 : index + 2])
    wanted = chosen["--preset"]
    name = chosen["--env"] if wanted == "auto" else wanted
    if wanted.lower() in ("none", "false") or (wanted == "auto" and name not in PRESETS):
        return PPOTask(env=chosen["--env"])
    recipe = preset(name)
    return PPOTask(
        env=chosen["--env"],
        preset=chosen["--preset"],
        steps=recipe.steps,
        ppo=recipe.config,
        **recipe.numbers,
    )


def run_ppo(task: Any) -> int:
    """Train as `task` says; writes the run's folder.

    With the environment variables of several processes set, they train together, all devices
    sharing the worlds; see `docs/launch/`.
    """
    from jaxrl_rewards.train.distributed import several_processes

    _check(task)
    with several_processes() as mesh:
        return _train(task, mesh)


def _check(task: Any) -> None:
    checks = {
        "steps": (task.steps >= 1, "at least 1"),
        "seeds": (task.seeds >= 1, "at least 1"),
        "discount": (0.0 <= task.discount <= 1.0, "between 0 and 1"),
        "trace_decay": (0.0 <= task.trace_decay <= 1.0, "between 0 and 1"),
        "clip": (task.clip > 0, "above 0"),
        "learning_rate": (0 < task.learning_rate < math.inf, "above 0 and finite"),
        "entropy_coefficient": (math.isfinite(task.entropy_coefficient), "finite"),
        "value_coefficient": (math.isfinite(task.value_coefficient), "finite"),
        "max_grad_norm": (task.max_grad_norm > 0, "above 0"),
        "critic_learning_rate": (0 <= (task.critic_learning_rate or 0) < math.inf, "at least 0"),
        "target_kl": (0 < task.target_kl < math.inf, "above 0 and finite"),
        "seed": (0 <= task.seed < 2**32, "between 0 and 2**32 - 1"),
        "checkpoint_every": ((task.checkpoint_every or 1) >= 1, "at least 1"),
        "chunk": (task.chunk >= 1, "at least 1"),
        "evaluation_episodes": (task.evaluation_episodes >= 1, "at least 1"),
    }
    for name, (good, needed) in checks.items():
        if not good:
            raise InputError(
                f"--{name.replace('_', '-')} must be {needed}, got {getattr(task, name)}"
            )


def _train(task: Any, mesh: Any) -> int:
    import jax

    from jaxrl_rewards.train.distributed import is_writer
    from jaxrl_rewards.train.evaluation import make_evaluator
    from jaxrl_rewards.train.runner import NonFiniteUpdates, run

    env, learner = build_ppo(task)
    updates = max(1, round(task.steps / learner.samples_per_update))
    out = Path("runs") / f"ppo-{task.env}" if task.out is None else task.out
    seeds = None if task.seeds == 1 else task.seeds
    evaluate = make_evaluator(
        learner, env, learner.hparams.env_params, task.evaluation_episodes, num_seeds=seeds
    )
    config = {"kind": "ppo", "task": dataclasses.asdict(task)}
    for transient in ("out", "resume", "tensorboard"):
        config["task"].pop(transient)
    try:
        result = run(
            learner,
            key=jax.random.key(task.seed),
            total_updates=updates,
            out_dir=out,
            chunk_updates=min(task.chunk, updates),
            resume=task.resume,
            num_seeds=seeds,
            evaluate=evaluate,
            checkpoint_every=task.checkpoint_every,
            best_metric="evaluation/return",
            config=config,
            mesh=mesh,
            show=("episode_return",),
            log=("jsonl", "curves", *(("tensorboard",) if task.tensorboard else ())),
            title=f"PPO on {task.env}",
        )
    except NonFiniteUpdates as error:
        print(f"jaxrl-rewards train: {error}", file=sys.stderr)
        return 1
    return _report(result, out, quiet=not is_writer())


def _report(result: Any, out: Path, *, quiet: bool) -> int:
    import numpy as np

    last = {
        name: float(np.nanmean(values[-1]))
        for name, values in result.history.items()
        if name in ("episode_return", "evaluation/return") and len(values)
    }
    if result.interrupted:
        print(f"interrupted after {result.updates} updates; go on with --resume --out {out}")
        return 128 + int(result.signal_number or 15)
    if quiet:
        return 0
    print(
        f"{result.updates} updates, {result.samples_per_second:,.0f} steps/s, "
        f"compilation {result.compile_seconds:.1f} s; "
        + ", ".join(f"{name} {value:.1f}" for name, value in last.items())
    )
    print(f"results in {out}: metrics.jsonl, curves.png, checkpoints/, config.json")
    print(f"next: jaxrl-rewards evaluate {out}")
    return 0


def build_ppo(task: Any) -> tuple[Any, Any]:
    """The world and the learner that a task (or a run's stored `config.task`) describes."""
    from jaxrl_envs import registry

    env = registry.make(task.env)
    params = env.default_params()
    try:
        reward = params.reward.with_weights(parse_json(task.reward_weights, "it", dict))
    except ValueError as error:
        raise InputError(f"--reward-weights: {error}") from None
    params = params.replace(reward=reward)
    samples = task.ppo.num_envs * task.ppo.unroll_length
    updates = max(1, round(task.steps / samples))
    rate: Any = task.learning_rate
    if task.anneal:
        rate = Linear(start=rate, stop=0.0, begin=0.0, end=float(updates))
    hparams = PPOHParams(
        env_params=params,
        learning_rate=rate,
        discount=task.discount,
        trace_decay=task.trace_decay,
        clip=task.clip,
        entropy_coefficient=task.entropy_coefficient,
        value_coefficient=task.value_coefficient,
        max_grad_norm=task.max_grad_norm,
        critic_learning_rate=task.critic_learning_rate,
        target_kl=task.target_kl,
    )
    try:
        return env, make_ppo(env, task.ppo, hparams=hparams)
    except ValueError as error:
        raise InputError(f"PPO cannot train {task.env}: {error}") from error
