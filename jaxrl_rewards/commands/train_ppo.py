"""`jaxrl-rewards train ppo`: PPO on a registered world."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from jaxrl_rewards.commands.arguments import parse
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.learners.presets import PRESETS
from jaxrl_rewards.rewards.schedule import Linear


@dataclasses.dataclass(frozen=True)
class PPOTask:
    """Train PPO on a world."""

    env: str = "CartPole-v1"
    """Name of the world; `jaxrl-rewards list` shows all."""
    preset: bool = True
    """Start from the settings known to solve the world, where there are such; flags override."""
    out: Path | None = None
    """Folder of the run; runs/ppo-ENV by default."""
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
    """Global norm to which gradients are clipped."""
    target_kl: float | None = None
    """Steer the actor's rate so that an update moves the policy by this KL divergence."""
    reward_weights: dict[str, float] = dataclasses.field(default_factory=dict)
    """New weights of reward terms: torque=0 angle=2, or each by its own flag, --reward.torque 0."""
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
    return run_ppo(read_task(arguments))


def read_task(arguments: Sequence[str]) -> PPOTask:
    """The task that the flags describe, on top of the world's preset."""
    arguments, weights = split_reward_weights(arguments)
    task = parse(
        PPOTask,
        arguments,
        prog="jaxrl-rewards train ppo",
        description="Train PPO on a world.",
        default=starting_task(arguments),
    )
    return dataclasses.replace(task, reward_weights=weights)


def split_reward_weights(arguments: Sequence[str]) -> tuple[list[str], dict[str, float]]:
    """The other arguments, and the weights of `--reward.NAME W` and `--reward-weights NAME=W ...`.

    InputError for what is no finite number, a name without one, and a name given twice.
    """
    rest: list[str] = []
    pairs: list[tuple[str, str, str]] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        flag, equals, value = word.partition("=")
        if flag.startswith("--reward."):
            if not equals and words and not words[0].startswith("--"):
                value = words.pop(0)
            pairs.append((flag, flag.removeprefix("--reward."), value))
        elif flag.replace("_", "-") == "--reward-weights":
            given = [value] if equals else []
            while words and not words[0].startswith("--"):
                given.append(words.pop(0))
            if not given:
                raise InputError("--reward-weights needs NAME=WEIGHT, as in torque=0 angle=2")
            pairs += [("--reward-weights", *item.partition("=")[::2]) for item in given]
        else:
            rest.append(word)
    weights: dict[str, float] = {}
    for flag, name, value in pairs:
        if name in weights:
            raise InputError(f"{flag}: the weight of {name!r} is given twice")
        weights[name] = _weight(flag, name, value)
    return rest, weights


def _weight(flag: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not name or not math.isfinite(value):
        raise InputError(
            f"{flag}: the weight of {name!r} must be a finite number, as in "
            f"--reward.torque 0 or --reward-weights torque=0, got {text!r}"
        )
    return value


def starting_task(arguments: Sequence[str]) -> PPOTask:
    """The task before its flags are read: the world's preset, if it has one and is wanted."""
    env, wanted = PPOTask.env, "true"
    for word, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        flag, equals, value = word.partition("=")
        if flag == "--env":
            env = value if equals else following
        elif flag == "--preset":
            wanted = (value if equals else following).lower()
    if wanted == "false" or env not in PRESETS:
        return PPOTask(env=env)
    recipe = PRESETS[env]
    return PPOTask(env=env, steps=recipe.steps, ppo=recipe.config, **recipe.numbers)


def run_ppo(task: Any) -> int:
    """Train as `task` says; writes the run's folder."""
    import jax

    from jaxrl_rewards.train.evaluation import make_evaluator
    from jaxrl_rewards.train.runner import NonFiniteUpdates, run

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
        "target_kl": (task.target_kl is None or 0 < task.target_kl < math.inf, "above 0"),
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
    if task.tensorboard and importlib.util.find_spec("tensorboardX") is None:
        raise InputError("--tensorboard needs tensorboardX; run pip install 'jaxrl-rewards[log]'")
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
            show=("episode_return",),
            log=("jsonl", "tensorboard") if task.tensorboard else ("jsonl",),
            title=f"PPO on {task.env}",
        )
    except NonFiniteUpdates as error:
        print(f"jaxrl-rewards train: {error}", file=sys.stderr)
        return 1
    return _report(result, out)


def _report(result: Any, out: Path) -> int:
    import numpy as np

    last = {
        name: float(np.nanmean(values[-1]))
        for name, values in result.history.items()
        if name in ("episode_return", "evaluation/return") and len(values)
    }
    if result.interrupted:
        print(f"interrupted after {result.updates} updates; go on with --resume --out {out}")
        return 128 + int(result.signal_number or 15)
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
        params = params.replace(reward=params.reward.with_weights(task.reward_weights))
    except ValueError as error:
        raise InputError(f"--reward-weights: {error}") from error
    sizes, kl = task.ppo, {}
    if task.target_kl is not None:
        kl = {"target_kl": task.target_kl}
    samples = sizes.num_envs * sizes.unroll_length
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
        **kl,
    )
    try:
        if kl:
            sizes = dataclasses.replace(sizes, adapt_to_kl=True)
        return env, make_ppo(env, sizes, hparams=hparams)
    except ValueError as error:
        raise InputError(f"PPO cannot train {task.env}: {error}") from error
