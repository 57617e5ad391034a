"""`jaxrl-rewards train retarget`: an avatar that follows a headset and two controllers."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.commands.arguments import parse
from jaxrl_rewards.commands.retarget.task import (
    RetargetTask,
    check_task,
    default_out,
    make_learner,
    make_network,
    make_world,
    usable_threads,
)
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_json

TRANSIENT = ("out", "resume", "time_limit_minutes", "final_episodes", "picture_seconds")
"""Settings that do not change what is learnt."""
CLOSING_SECONDS = 60.0
"""Kept back from the time limit for the evaluation and the pictures at the end."""


def main(arguments: Sequence[str]) -> int:
    """Parse the flags and train."""
    task = parse(
        RetargetTask,
        arguments,
        prog="jaxrl-rewards train retarget",
        description="Train a physical avatar that follows a headset and two controllers.",
        prefixes=True,
    )
    return train(task)


def train(task: RetargetTask) -> int:
    """Warm start, PPO, evaluation, pictures; everything lands in the run's folder."""
    began = time.perf_counter()
    check_task(task)
    import jax

    from jaxrl_rewards.commands.retarget.follow import evaluator
    from jaxrl_rewards.train.runner import NonFiniteUpdates, run

    out = default_out(task)
    world = make_world(task.env)
    learner = make_learner(world, task)
    params = learner.hparams.env_params
    body = world.character
    note(
        f"{body.name}: {body.num_joints} joints, {body.mass:.1f} kg; following "
        f"{', '.join(world.clip_names)}; physics {world.physics.engine}, "
        f"{usable_threads(task)} threads"
    )
    key = jax.random.key(task.seed)
    resuming = task.resume and (out / "checkpoints").is_dir()
    initial = None
    if task.clone_rounds and not resuming:
        initial = warm_start(key, world, learner, task)
    updates = max(1, round(task.steps / learner.samples_per_update))
    chunk = min(task.chunk, updates)
    limit = None
    if task.time_limit_minutes is not None:
        spent = time.perf_counter() - began
        closing = min(CLOSING_SECONDS, 20.0 * task.time_limit_minutes)
        limit = max(60.0 * task.time_limit_minutes - spent - closing, 1.0)
    try:
        result = run(
            learner,
            key=key,
            total_updates=updates,
            out_dir=out,
            chunk_updates=chunk,
            resume=task.resume,
            initial_state=initial,
            evaluate=evaluator(world, params, learner.act, task.evaluation_episodes),
            evaluate_every=task.evaluate_every,
            checkpoint_every=task.evaluate_every,
            best_metric="evaluation/seconds",
            config=stored_config(task),
            show=("episode_length", "actor_learning_rate", "kl"),
            title=f"retarget {world.character.name}",
            time_limit=limit,
        )
    except NonFiniteUpdates as error:
        print(f"jaxrl-rewards train: {error}", file=sys.stderr)
        return 1
    if result.signal_number is not None:
        print(f"interrupted after {result.updates} updates; go on with --resume --out {out}")
        return 128 + int(result.signal_number)
    return finish(task, world, learner, result, out, time.perf_counter() - began)


def warm_start(key: Any, world: Any, learner: Any, task: RetargetTask) -> Any:
    """The learner's first state with its actor cloned from the reference's targets."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from jaxrl_rewards.learners.clone import CloneConfig, clone_expert

    began = time.perf_counter()
    network = make_network(world, task)
    config = CloneConfig(
        rounds=task.clone_rounds, num_envs=task.num_envs, unroll_length=task.unroll
    )
    hparams = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), learner.hparams)

    @jax.jit
    def start(key: Any, hparams: Any) -> Any:
        key_state, key_clone = jax.random.split(key)
        state = learner.init(key_state, hparams)
        return clone_expert(
            key_clone, state, world, hparams.env_params, network, world.reference_action, config
        )

    state, losses = start(jax.random.fold_in(key, 1), hparams)
    losses = np.asarray(losses)
    note(
        f"warm start: mean squared error {losses[0]:.1e} after the first round, {losses[-1]:.1e} "
        f"after {len(losses)}; {time.perf_counter() - began:.0f} s"
    )
    return state


def finish(
    task: RetargetTask, world: Any, learner: Any, result: Any, out: Path, seconds: float
) -> int:
    """Evaluate, save the avatar, draw; write `evaluation.json`."""
    import jax

    from jaxrl_rewards.commands.retarget.avatar import avatar_of, save_avatar
    from jaxrl_rewards.commands.retarget.follow import evaluator, record_picture

    params = learner.hparams.env_params
    state = result.state
    key = jax.random.fold_in(jax.random.key(task.seed), 2)
    save_avatar(out, avatar_of(world, params, state, task.env.character))
    measured = evaluator(world, params, learner.act, task.final_episodes)(state, key)
    numbers = {name: float(value) for name, value in measured.items()}
    evaluation = {
        "character": world.character.name,
        "clips": list(world.clip_names),
        "seed": task.seed,
        "update": result.updates,
        "samples": result.updates * learner.samples_per_update,
        "minutes": seconds / 60.0,
        "samples_per_second": result.samples_per_second,
        "episodes": task.final_episodes,
        "episode_seconds": world.spec.max_steps * world.physics.dt,
        "survival": numbers,
    }
    atomic_write_json(out / "evaluation.json", evaluation)
    if task.picture_seconds > 0:
        record_picture(
            world,
            params,
            lambda obs: learner.act(state, obs, None, None)[0],
            key,
            task.picture_seconds,
            out,
            world.character.name,
        )
    print(
        f"{world.character.name}, seed {task.seed}: follows {100 * numbers['followed']:.0f} % of "
        f"{task.final_episodes} random starts for {evaluation['episode_seconds']:.0f} s (mean "
        f"{numbers['seconds']:.1f} s), keypoint error {numbers['keypoint_error']:.3f} m, joints "
        f"{numbers['joint_error']:.3f} rad; {evaluation['samples'] / 1e6:.2f}M samples, "
        f"{result.samples_per_second:,.0f} samples/s, {evaluation['minutes']:.1f} min"
    )
    print(f"results in {out}: evaluation.json, avatar.npz, avatar.gif, avatar.png, metrics.jsonl, "
          "curves.png, checkpoints/")  # fmt: skip
    print(f"next: jaxrl-rewards evaluate {out} --motion CLIP, jaxrl-rewards drive {out}")
    return 0


def stored_config(task: RetargetTask) -> dict[str, Any]:
    """The run's `config`, from which it can be made again."""
    values = dataclasses.asdict(task)
    for name in TRANSIENT:
        values.pop(name)
    values["env"]["motions"] = [str(path) for path in task.env.motions]
    values["env"]["data"] = None if task.env.data is None else str(task.env.data)
    for name in ("physics", "physics_threads"):  # another machine may resume with its own
        values["env"].pop(name)
    return {"kind": "retarget", "task": values}


def stored_task(folder: Path, stored: dict[str, Any]) -> RetargetTask:
    """The task of a run's `config.json`; InputError names what does not belong."""
    from jaxrl_rewards.commands.retarget.task import RetargetEnv

    try:
        values = dict((stored.get("config") or {}).get("task") or {})
        env = dict(values.pop("env", {}))
        if not isinstance(env.get("character", ""), str):
            raise TypeError(f"env.character must be text, got {env['character']!r}")
        env["motions"] = tuple(Path(path) for path in env.get("motions", ()))
        env["data"] = None if env.get("data") is None else Path(env["data"])
        env["generated"] = tuple(env.get("generated", ()))
        if "hidden" in values:
            values["hidden"] = tuple(values["hidden"])
        return RetargetTask(env=RetargetEnv(**env), **values)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{folder}/config.json, config.task: {error}; restore the file") from error


def note(text: str) -> None:
    """Progress on stderr."""
    print(text, file=sys.stderr, flush=True)
