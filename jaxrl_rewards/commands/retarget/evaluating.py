"""`evaluate` for avatars: random starts, disturbances, and clips that were never trained on."""

from __future__ import annotations

import dataclasses
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
STARTS = 8
"""Episodes per clip."""
TOGETHER = 64
"""Episodes side by side under disturbances, at most."""
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

    from jaxrl_rewards.commands.retarget.follow import Player, record_picture
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
    env = dataclasses.replace(task.env, physics="c")
    key = jax.random.key(options.seed)
    out = options.out or folder / "evaluation"
    record: dict[str, Any] = {
        "run": str(folder),
        "character": world.character.name,
        "update": update,
        "episodes": options.episodes,
    }

    if motions:
        seen = make_world(env, motions=motions)
        player = Player(seen, seen.default_params(), learner.act, STARTS)
        record["clips"], first = clip_table(player, state, key)
        print(f"{world.character.name}, update {update}: clips not trained on")
        print(table(record["clips"]))
        record_picture(seen, first, 6.0, out, world.character.name)
    else:
        disturbed = make_world(env, disturbed=True)
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
        player = Player(disturbed, base, learner.act, min(options.episodes, TOGETHER))
        for name, params in rows.items():
            numbers = player.measure(state, key, params, options.episodes)
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

    from jaxrl_rewards.commands.retarget.task import generated_motion

    given = [load_motion(path) for path in options.motion or ()]
    return given + [generated_motion(text) for text in options.generated or ()]


def clip_table(player: Any, state: Any, key: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Per clip: mean errors over starts spread over it, and the kinematic reference; and the
    episodes of the first clip."""
    import jax.numpy as jnp

    from jaxrl_rewards.commands.retarget.follow import clip_errors, reference_errors

    world, params = player.world, player.params
    library, dt = params.library, world.physics.dt
    rows: dict[str, Any] = {}
    first: dict[str, Any] = {}
    for clip, name in enumerate(world.clip_names):
        weights = jnp.zeros_like(params.start_weights).at[clip].set(1.0)
        out = player(state, key, params.replace(start_weights=weights))
        first = first or out
        last = int(library.length[clip]) - 1
        out["alive"] = out["alive"] & (out["frame"] < last)
        each = [clip_errors(out, episode, dt) for episode in range(player.episodes)]
        rows[name] = {
            "avatar": {
                column: float(np.nanmean([one.get(column, np.nan) for one in each]))
                for column in COLUMNS
            },
            "kinematic": reference_errors(library, clip, world.character.scale, dt),
        }
    return rows, first


def table(rows: dict[str, Any]) -> str:
    """The rows as text."""
    width = max(len(name) for name in rows) + 11
    lines = [" " * width + "".join(f"{title:>13}" for title in COLUMNS.values())]
    for name, kinds in rows.items():
        for kind, numbers in kinds.items():
            cells = "".join(f"{numbers.get(column, np.nan):13.3f}" for column in COLUMNS)
            lines.append(f"{name + ' ' + kind:<{width}}{cells}")
    return "\n".join(lines)
