"""`jaxrl-rewards train retarget`: an avatar that follows a headset and two controllers."""

from __future__ import annotations

import dataclasses
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_json
from jaxrl_rewards.core.json_files import read_json
from jaxrl_rewards.studies.sparse_retargeting.train.avatar import absolute_character
from jaxrl_rewards.studies.sparse_retargeting.train.task import (
    RetargetTask,
    check_task,
    companion,
    default_out,
    make_learner,
    make_network,
    make_params,
    make_world,
    usable_threads,
)
from jaxrl_rewards.train.arguments import parse

TRANSIENT = ("out", "resume", "steps", "time_limit_minutes", "final_episodes", "picture_seconds",
             "stop_at_followed")  # fmt: skip
"""Settings that do not change what is learnt."""
CLONE_ENVS = 512
"""Worlds of the warm start, at most."""
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
    return train(task, again=shlex.join(["jaxrl-rewards", "train", "retarget", *arguments]))


def train(task: RetargetTask, again: str = "the same command") -> int:
    """Warm start, PPO, evaluation, pictures; everything lands in the run's folder. `again` is what
    to type to go on with an interrupted run, but for `--resume`."""
    began = time.perf_counter()
    check_task(task)
    if task.resume and task.stop_at_followed is not None and has_arrived(task):
        print(f"{default_out(task)} follows {100 * task.stop_at_followed:.0f} % already; done")
        return 0
    from jaxrl_rewards.studies.sparse_retargeting.train.follow import Player
    from jaxrl_rewards.train.folder_lock import folder_lock
    from jaxrl_rewards.train.record import check_usable

    out = default_out(task)
    check_usable(out, resume=task.resume)
    world = make_world(task.env)
    learner = make_learner(world, task)
    beside = companion(world, task.env)
    player = Player(beside, make_params(beside, task), learner.act, task.evaluation_episodes)
    introduce(world, task)
    with folder_lock(out):  # to the last picture
        return learn(task, world, learner, beside, player, out, began, again)


def learn(
    task: RetargetTask,
    world: Any,
    learner: Any,
    beside: Any,
    player: Any,
    out: Path,
    began: float,
    again: str,
) -> int:
    """The run and what follows it, in a folder that is ours."""
    import jax

    from jaxrl_rewards.train.runner import NonFiniteUpdates, run

    key = jax.random.key(task.seed)
    updates = max(1, round(task.steps / learner.samples_per_update))
    wanted = task.stop_at_followed
    try:
        result = run(
            learner,
            key=key,
            total_updates=updates,
            out_dir=out,
            chunk_updates=min(task.chunk, updates),
            resume=task.resume,
            initial_state=lambda: first_state(key, learner, beside, task),
            evaluate=lambda state, key: measured(player, state, key, task),
            evaluate_every=task.evaluate_every,
            checkpoint_every=task.evaluate_every,
            best_metric="evaluation/seconds",
            config=stored_config(task, world.physics.engine),
            show=("episode_length", "actor_learning_rate", "kl"),
            title=f"retarget {world.character.name}",
            time_limit=seconds_left(task, began),
            stop_when=None
            if wanted is None
            else lambda row: row.get("evaluation/followed", 0.0) >= wanted,
        )
    except NonFiniteUpdates as error:
        print(f"jaxrl-rewards train: {error}", file=sys.stderr)
        return 1
    if result.signal_number is not None:
        resume = "" if task.resume else " --resume"
        print(f"interrupted after {result.updates} updates; go on with: {again}{resume}")
        return 128 + int(result.signal_number)
    return finish(task, player, learner, result, out, time.perf_counter() - began)


def introduce(world: Any, task: RetargetTask) -> None:
    """Say who follows what, on which machinery."""
    body = world.character
    note(
        f"{body.name}: {body.num_joints} joints, {body.mass:.1f} kg; following "
        f"{', '.join(world.clip_names)}; physics {world.physics.engine}, "
        f"{usable_threads(task)} threads"
    )


def seconds_left(task: RetargetTask, began: float) -> float | None:
    """Seconds for training, of a task with a time limit that began at `began`."""
    if task.time_limit_minutes is None:
        return None
    spent = time.perf_counter() - began
    closing = min(CLOSING_SECONDS, 20.0 * task.time_limit_minutes)
    return max(60.0 * task.time_limit_minutes - spent - closing, 1.0)


def measured(player: Any, state: Any, key: Any, task: RetargetTask) -> dict[str, float]:
    """An evaluation; one that may end the training is confirmed on more episodes."""
    wanted = task.stop_at_followed
    numbers = player.measure(state, key, episodes=task.evaluation_episodes)
    if wanted is not None and numbers["followed"] >= wanted:
        numbers = player.measure(state, key, episodes=task.final_episodes)
    return numbers


def has_arrived(task: RetargetTask) -> bool:
    """Whether the run's last evaluation met `stop_at_followed`."""
    try:
        reached = read_json(default_out(task) / "evaluation.json", finite=False)
        return reached["survival"]["followed"] >= task.stop_at_followed
    except (InputError, KeyError, TypeError):  # no such run, or one that was cut off: train it
        return False


def first_state(key: Any, learner: Any, beside: Any, task: RetargetTask) -> Any:
    """The learner's first state, warm-started where the task asks for it; made on the CPU."""
    import jax
    import jax.numpy as jnp

    from jaxrl_rewards.studies.sparse_retargeting.train.host import on_host

    where = jnp.zeros(()).sharding
    key_state, key_clone = jax.random.split(jax.random.fold_in(key, 1))
    hparams = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), learner.hparams)
    state = on_host(jax.jit(learner.init))(key_state, hparams)
    if task.clone_rounds:
        state = warm_start(key_clone, state, beside, task)
    return jax.device_put(state, where)


def warm_start(key: Any, state: Any, beside: Any, task: RetargetTask) -> Any:
    """The learner's first state with its actor cloned from the reference's targets."""
    import jax
    import numpy as np

    from jaxrl_rewards.learners.clone import CloneConfig, clone_expert
    from jaxrl_rewards.studies.sparse_retargeting.train.host import on_host

    began = time.perf_counter()
    network = make_network(beside, task)
    config = CloneConfig(
        rounds=task.clone_rounds, num_envs=min(task.num_envs, CLONE_ENVS), unroll_length=task.unroll
    )

    @jax.jit
    def clone(key: Any, state: Any, params: Any) -> Any:
        return clone_expert(key, state, beside, params, network, beside.reference_action, config)

    # The worlds in which the learner acts are none of the warm start's business.
    bare = state.replace(env_state=(), opt_state=(), memory=(), summary=(), statistics=())
    cloned, losses = on_host(clone)(key, bare, make_params(beside, task))
    losses = np.asarray(losses)
    note(
        f"warm start: mean squared error {losses[0]:.1e} after the first round, {losses[-1]:.1e} "
        f"after {len(losses)}; {time.perf_counter() - began:.0f} s"
    )
    return state.replace(params=cloned.params, normaliser=cloned.normaliser)


def finish(
    task: RetargetTask, player: Any, learner: Any, result: Any, out: Path, seconds: float
) -> int:
    """Evaluate the best of the last and the best evaluated state, save the avatar, draw; write
    `evaluation.json`."""
    import jax

    from jaxrl_rewards.studies.sparse_retargeting.train.avatar import avatar_of, save_avatar
    from jaxrl_rewards.studies.sparse_retargeting.train.follow import (
        how_long,
        record_picture,
        survival,
    )

    world = player.world
    key = jax.random.fold_in(jax.random.key(task.seed), 2)
    state, update = best_state(task, player, learner, result, out, key)
    save_avatar(out, avatar_of(world, player.params, state, task.env.character, task.env.damping))
    played = player(state, key, episodes=task.final_episodes)
    numbers = survival(played, world.clip_names)
    samples = result.updates * learner.samples_per_update
    trained = float(result.history["seconds"][-1])  # in all calls, where the run was resumed
    evaluation = {
        "character": world.character.name,
        "clips": list(world.clip_names),
        "seed": task.seed,
        "update": update,
        "updates": result.updates,
        "samples": samples,
        "minutes": (seconds + trained - result.seconds) / 60.0,
        "samples_per_second": samples / max(trained, 1e-9),
        "episodes": played["alive"].shape[1],
        "episode_seconds": world.spec.max_steps * world.physics.dt,
        "survival": numbers,
    }
    atomic_write_json(out / "evaluation.json", evaluation)
    if task.picture_seconds > 0:
        record_picture(world, played, task.picture_seconds, out)
    print(
        f"{world.character.name}, seed {task.seed}: follows {100 * numbers['followed']:.0f} % of "
        f"{evaluation['episodes']} random starts {how_long(world)} (mean "
        f"{numbers['seconds']:.1f} of {numbers['available']:.1f} s), keypoint error "
        f"{numbers['keypoint_error']:.3f} m, joints {numbers['joint_error']:.3f} rad; "
        f"{samples / 1e6:.2f}M samples, {evaluation['samples_per_second']:,.0f} samples/s, "
        f"{evaluation['minutes']:.1f} min"
    )
    print(f"results in {out}: evaluation.json, avatar.npz, avatar.gif, avatar.png, metrics.jsonl, "
          "curves.png, checkpoints/")  # fmt: skip
    print(f"next: jaxrl-rewards evaluate {out} --motion CLIP, jaxrl-rewards drive {out}")
    return 0


def best_state(
    task: RetargetTask, player: Any, learner: Any, result: Any, out: Path, key: Any
) -> tuple[Any, int]:
    """The last state, or the best of those evaluated during the run where that lasted longer;
    chosen on other starts than the final evaluation's."""
    import jax
    import numpy as np

    from jaxrl_rewards.train.checkpoint import load_state

    seconds = result.history.get("evaluation/seconds")
    if seconds is None or not np.isfinite(seconds).any():
        return result.state, result.updates
    row = int(np.nanargmax(seconds))
    update = int(result.history["update"][row])
    if update == result.updates:
        return result.state, update
    last = player.measure(
        result.state, jax.random.fold_in(key, 1 << 20), episodes=task.evaluation_episodes
    )
    if last["seconds"] >= seconds[row]:
        return result.state, result.updates
    best, update = load_state(out, learner, which="best")
    note(f"the state of update {update} followed longer than the last and is kept")
    return best, update


def stored_config(task: RetargetTask, engine: str) -> dict[str, Any]:
    """The run's `config`, from which it can be made again; the engine decides what a state is."""
    values = dataclasses.asdict(task)
    for name in TRANSIENT:
        values.pop(name)
    # Whole paths: the run may be evaluated or resumed from another folder.
    values["env"]["character"] = absolute_character(task.env.character)
    values["env"]["motions"] = [str(path.absolute()) for path in task.env.motions]
    for name in ("data", "bvh"):
        path = getattr(task.env, name)
        values["env"][name] = None if path is None else str(path.absolute())
    values["env"]["physics"] = engine
    values["env"].pop("physics_threads")  # another machine may resume with its own
    return {"kind": "retarget", "task": values}


def stored_task(folder: Path, stored: dict[str, Any]) -> RetargetTask:
    """The task of a run's `config.json`; InputError names what does not belong."""
    from jaxrl_rewards.studies.sparse_retargeting.train.task import RetargetEnv

    try:
        values = dict((stored.get("config") or {}).get("task") or {})
        env = dict(values.pop("env", {}))
        if not isinstance(env.get("character", ""), str):
            raise TypeError(f"env.character must be text, got {env['character']!r}")
        env["motions"] = tuple(Path(path) for path in env.get("motions", ()))
        for name in ("data", "bvh"):
            env[name] = None if env.get(name) is None else Path(env[name])
        env["generated"] = tuple(env.get("generated", ()))
        if "hidden" in values:
            values["hidden"] = tuple(values["hidden"])
        return RetargetTask(env=RetargetEnv(**env), **values)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{folder}/config.json, config.task: {error}; restore the file") from error


def note(text: str) -> None:
    """Progress on stderr."""
    print(text, file=sys.stderr, flush=True)
