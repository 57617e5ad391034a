"""`jaxrl-rewards train ppo`: PPO on a registered world."""

from __future__ import annotations

import dataclasses
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.commands.given_reward import (
    GivenReward,
    check_given,
    find_reward,
    placeholders,
    stored_reward,
    with_given_reward,
)
from jaxrl_rewards.commands.stored_run import stored_config, stored_task
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.json_files import parse_json
from jaxrl_rewards.learners.learning_terms import make_ppo_with_learning_terms
from jaxrl_rewards.learners.ppo import PPOConfig, PPOHParams, make_ppo
from jaxrl_rewards.learners.presets import PRESETS, preset
from jaxrl_rewards.rewards.learning import learning_terms
from jaxrl_rewards.rewards.schedule import Linear
from jaxrl_rewards.train.arguments import changed_flags, parse
from jaxrl_rewards.train.reward_options import split_reward_options


@dataclasses.dataclass(frozen=True)
class PPOTask:
    """Train PPO on an environment."""

    env: str = "CartPole-v1"
    """Name of the environment, `jaxrl-rewards list` shows all; or MODEL.npz, as `design` takes."""
    reward: str = ""
    """Train on another reward than the environment's own: a reward program (FILE.txt, what `train
    eureka` finds), a designed table (FILE.csv), or FILE.py:NAME or MODULE:NAME, a function (prev,
    action, next) or a reward. The environment's own terms are logged beside it."""
    out: Path | None = None
    """Folder of the run; runs/ppo-ENV by default."""
    preset: str = "auto"
    """Recipe that sets the other flags' defaults: auto (the environment's own, where it has one),
    none, or the name of an environment that has one."""
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
    typed = list(arguments)
    arguments = split_reward_options(arguments)
    default = recommended(arguments)
    if {"-h", "--help"} & set(arguments):
        text = about(default.env)
    else:
        text = "Train PPO on an environment."
    task = parse(
        PPOTask, arguments, prog="jaxrl-rewards train ppo", description=text, default=default
    )
    again = shlex.join(["jaxrl-rewards", "train", "ppo", *typed])
    return run_ppo(task, again if task.resume else f"{again} --resume")


def about(name: str) -> str:
    """What `--help` says of the environment that is named: its reward's terms and its recipe."""
    from jaxrl_rewards.commands.describe import terms_of

    lines = [
        "Train PPO on an environment. The defaults below are the recipe of the one that --env names"
    ]
    lines[0] += " (--preset none for PPO's own)." if name in PRESETS else ", where it has one."
    try:
        terms = ", ".join(f"{term} ({weight})" for term, weight in terms_of(name).items())
    except InputError:
        return lines[0]
    return f"{lines[0]} Reward terms of {name} and their weights: {terms}."


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


def run_ppo(task: Any, again: str = "") -> int:
    """Train as `task` says; writes the run's folder. `again` is the command that goes on with it.

    With the environment variables of several processes set, they train together, all devices
    sharing the worlds; see `docs/launch/`.
    """
    from jaxrl_rewards.train.distributed import several_processes

    _check(task)
    given = find_reward(task.reward) if task.reward else None
    with several_processes() as mesh:
        return _train(task, mesh, given, again)


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


def default_out(task: Any) -> Path:
    """The run's folder."""
    name = Path(task.env).stem if is_model(task.env) else task.env
    return Path("runs") / f"ppo-{name}" if task.out is None else task.out


def stored_settings(task: Any, given: GivenReward | None, reward: Any) -> dict[str, Any]:
    """The run's `config`: what must be the same when it is resumed, and what `evaluate` reads."""
    values = dataclasses.asdict(task)
    for transient in ("out", "resume", "tensorboard", "reward"):
        values.pop(transient)
    if is_model(task.env):  # the run may be evaluated or resumed from another folder
        values["env"] = str(Path(task.env).absolute())
    config: dict[str, Any] = {"kind": "ppo", "task": values}
    if given is not None:
        config["reward"] = given.record(reward.names)
    return config


def _train(task: Any, mesh: Any, given: GivenReward | None, again: str) -> int:
    import jax

    from jaxrl_rewards.train.distributed import is_writer
    from jaxrl_rewards.train.evaluation import make_evaluator
    from jaxrl_rewards.train.runner import NonFiniteUpdates, run

    out = default_out(task)
    if task.resume:
        _same_reward(out, given)
    env, learner = build_ppo(task, given)
    updates = max(1, round(task.steps / learner.samples_per_update))
    seeds = None if task.seeds == 1 else task.seeds
    params = learner.hparams.env_params
    evaluate = make_evaluator(learner, env, params, task.evaluation_episodes, num_seeds=seeds)
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
            config=stored_settings(task, given, params.reward),
            mesh=mesh,
            show=("episode_return",),
            log=("jsonl", "curves", *(("tensorboard",) if task.tensorboard else ())),
            title=f"PPO on {task.env}",
        )
    except NonFiniteUpdates as error:
        print(f"jaxrl-rewards train: {error}", file=sys.stderr)
        return 1
    except InputError as error:
        hint = _hint(out, task) if "resume" in str(error) else ""
        raise InputError(f"{error}{hint}") from None
    return _report(result, out, again, quiet=not is_writer())


def _same_reward(out: Path, given: GivenReward | None) -> None:
    """InputError where a run that is to go on was trained on another reward."""
    stored = stored_config(out)
    config = stored.get("config")
    if not isinstance(config, dict) or config.get("kind") != "ppo":
        return
    before = stored_reward(config.get("reward"), f"{out}/config.json")
    if (before and before.digest) == (given and given.digest):
        return
    was = "the world's own reward" if before is None else f"{before.given} as it was then"
    now = "the world's own" if given is None else given.given
    raise InputError(
        f"{out} was trained on {was}, not on {now}; resume with the same reward, or choose another "
        "folder"
    )


def _hint(out: Path, task: Any) -> str:
    """The command that goes on with the run in a folder, where one is there; else nothing."""
    stored = stored_config(out)
    config = stored.get("config")
    values = config.get("task") if isinstance(config, dict) else None
    if not isinstance(values, dict) or config.get("kind") != "ppo":
        return ""
    try:
        before = dataclasses.replace(stored_task(out, values), reward=task.reward)
        start = recommended(["--env", before.env, "--preset", before.preset])
    except (InputError, TypeError, ValueError):
        return ""
    named = [] if before.env == PPOTask.env else ["--env", before.env]
    if before.preset != PPOTask.preset:
        named += ["--preset", before.preset]
    flags = [
        *named,
        *changed_flags(before, dataclasses.replace(start, out=None)),
        "--out",
        str(out),
    ]
    command = shlex.join(["jaxrl-rewards", "train", "ppo", *flags, "--resume"])
    return f"; to go on with the run that is there: {command}"


def _report(result: Any, out: Path, again: str, *, quiet: bool) -> int:
    import numpy as np

    last = {
        name: float(np.nanmean(values[-1]))
        for name, values in result.history.items()
        if name in ("episode_return", "evaluation/return") and len(values)
    }
    if result.interrupted:
        print(f"interrupted after {result.updates} updates; go on with: {again}")
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


def is_model(name: str) -> bool:
    """Whether `--env` names a file with a table of transitions instead of a world."""
    return name.endswith(".npz")


def make_world(task: Any) -> Any:
    """The world that `--env` names; InputError where there is none."""
    from jaxrl_envs import registry

    if not is_model(task.env):
        return registry.make(task.env)
    from jaxrl_envs.control import TabularWorld

    from jaxrl_rewards.core.tabular import load_tabular_model

    if not task.discount < 1.0:
        raise InputError(f"--env {task.env} needs a --discount below 1, got {task.discount}")
    return TabularWorld(load_tabular_model(task.env, task.discount))


def build_ppo(
    task: Any, given: GivenReward | None = None, terms: list[str] | None = None
) -> tuple[Any, Any]:
    """The world and the learner that a task (or a run's stored `config.task`) describes.

    `given` is the reward of `--reward`. With `terms` instead, the learner's state has room for
    terms of these names, which are never computed: enough to read a checkpoint.
    """
    env = make_world(task)
    params = env.default_params()
    reward = params.reward
    if given is not None:
        reward = with_given_reward(reward, given, env, task.env)
    elif terms is not None:
        reward = placeholders(terms)
    try:
        reward = reward.with_weights(parse_json(task.reward_weights, "it", dict))
    except ValueError as error:
        raise InputError(f"--reward-weights: {error}") from None
    params = params.replace(reward=reward)
    if given is not None:
        check_given(env, params, given)
    try:
        return env, _learner(env, task, ppo_numbers(task, params))
    except ValueError as error:
        raise InputError(f"PPO cannot train {task.env}: {error}") from error


def _learner(env: Any, task: Any, hparams: PPOHParams) -> Any:
    if learning_terms(hparams.env_params.reward):
        return make_ppo_with_learning_terms(env, task.ppo, hparams=hparams)
    return make_ppo(env, task.ppo, hparams=hparams)


def ppo_numbers(task: Any, params: Any) -> PPOHParams:
    """The hyper-parameters that a task describes."""
    samples = task.ppo.num_envs * task.ppo.unroll_length
    updates = max(1, round(task.steps / samples))
    rate: Any = task.learning_rate
    if task.anneal:
        rate = Linear(start=rate, stop=0.0, begin=0.0, end=float(updates))
    return PPOHParams(
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
