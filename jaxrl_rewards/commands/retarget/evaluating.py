"""`evaluate` for avatars: random starts, disturbances, and clips that were never trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_json

COLUMNS = {
    "seconds": "s followed",
    "keypoint_error": "keypoints m",
    "rotation_error": "root rad",
    "joint_error": "joints rad",
    "contact_match": "contact",
    "jerk": "jerk m/s3",
    "foot_skate": "skate m/s",
}
DISTURBANCES: dict[str, dict[str, float]] = {
    "undisturbed": {},
    "pushed 0.3 m/s every 2 s": {"push_speed": 0.3},
    "leaning with 3 % of the weight": {"lean": 0.03},
}
STREAMS: dict[str, dict[str, float]] = {
    "1 cm and 0.05 rad noise": {"position_noise": 0.01, "rotation_noise": 0.05},
    "10 % of frames lost": {"drop": 0.1},
    "67 ms late": {"latency": 2},
    "headset alone": {"controllers": 0.0},
}


def evaluate_retarget(folder: Path, stored: dict[str, Any], options: Any) -> int:
    """Evaluate a run of `train retarget`; writes `evaluation.json` (and pictures) to `--out`."""
    import jax
    import jax.numpy as jnp

    from jaxrl_rewards.commands.retarget.follow import evaluator, record_picture
    from jaxrl_rewards.commands.retarget.task import make_learner, make_world
    from jaxrl_rewards.commands.train_retarget import stored_task
    from jaxrl_rewards.train.checkpoint import load_state

    if options.episodes < 1:
        raise InputError(f"--episodes must be at least 1, got {options.episodes}")
    task = stored_task(folder, stored)
    motions = _given_motions(options)
    world = make_world(task.env)
    learner = make_learner(world, task)
    which = int(options.which) if options.which.isdigit() else options.which
    state, update = load_state(folder, learner, which=which)
    act = learner.act
    key = jax.random.key(options.seed)
    out = options.out or folder / "evaluation"
    record: dict[str, Any] = {
        "run": str(folder),
        "character": world.character.name,
        "update": update,
        "episodes": options.episodes,
    }

    def policy(obs: Any) -> Any:
        return act(state, obs, None, None)[0]

    if motions:
        seen = make_world(task.env, motions=motions)
        record["clips"] = clip_table(seen, seen.default_params(), policy, key)
        print(f"{world.character.name}, update {update}: clips not trained on")
        print(table(record["clips"]))
        record_picture(seen, seen.default_params(), policy, key, 6.0, out, world.character.name)
    else:
        disturbed = make_world(task.env, disturbed=True)
        base = disturbed.default_params()
        rows = {}
        for name, changes in DISTURBANCES.items():
            numbers = {key: jnp.float32(value) for key, value in changes.items()}
            rows[name] = base.replace(**numbers)
        for name, changes in STREAMS.items():
            numbers = {
                key: jnp.asarray(value, getattr(base.sensors, key).dtype)
                for key, value in changes.items()
            }
            rows[name] = base.replace(sensors=base.sensors.replace(**numbers))
        record["survival"] = {}
        evaluate = evaluator(disturbed, base, act, options.episodes)
        for name, params in rows.items():
            measured = evaluate(state, key, params)
            numbers = {key: float(value) for key, value in measured.items()}
            record["survival"][name] = numbers
            print(
                f"{world.character.name}, update {update}, {name}: follows "
                f"{100 * numbers['followed']:.0f} % for 10 s, mean {numbers['seconds']:.1f} s, "
                f"keypoints {numbers['keypoint_error']:.3f} m"
            )
    atomic_write_json(Path(out) / "evaluation.json", record)
    print(f"results in {out}")
    return 0


def _given_motions(options: Any) -> list[Any]:
    from jaxrl_envs.retarget.motion import load_motion

    return [load_motion(path) for path in options.motion or ()]


def clip_table(world: Any, params: Any, policy: Any, key: Any, starts: int = 8) -> dict[str, Any]:
    """Per clip: mean errors over `starts` starts spread over it, and the kinematic reference."""
    import jax
    import jax.numpy as jnp

    from jaxrl_rewards.commands.retarget.follow import clip_errors, play, reference_errors

    library = params.library
    steps = int(min(world.spec.max_steps, library.length.max() - 2))
    run = jax.jit(lambda params, key: play(world, params, policy, key, starts, steps))
    rows: dict[str, Any] = {}
    for clip, name in enumerate(world.clip_names):
        weights = jnp.zeros_like(params.start_weights).at[clip].set(1.0)
        out = jax.device_get(run(params.replace(start_weights=weights), key))
        last = int(library.length[clip]) - 1
        out["alive"] = out["alive"] & (out["frame"] < last)
        each = [clip_errors(out, episode, world.physics.dt) for episode in range(starts)]
        rows[name] = {
            "avatar": {
                column: float(np.nanmean([one.get(column, np.nan) for one in each]))
                for column in COLUMNS
            },
            "kinematic": reference_errors(library, clip, world.character.scale, world.physics.dt),
        }
    return rows


def table(rows: dict[str, Any]) -> str:
    """The rows as text."""
    width = max(len(name) for name in rows) + 11
    lines = [" " * width + "".join(f"{title:>13}" for title in COLUMNS.values())]
    for name, kinds in rows.items():
        for kind, numbers in kinds.items():
            cells = "".join(f"{numbers.get(column, np.nan):13.3f}" for column in COLUMNS)
            lines.append(f"{name + ' ' + kind:<{width}}{cells}")
    return "\n".join(lines)
