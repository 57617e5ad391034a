"""`evaluate` for avatars: random starts, disturbances, and clips that were never trained on."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_json
from jaxrl_rewards.core.json_files import read_json

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
"""Episodes per clip unless told."""
EPISODES = 128
"""Episodes at random starts unless told."""
TOGETHER = 64
"""Episodes side by side, at most."""
PICTURE_SECONDS = 6.0
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
    """Evaluate a run of `train retarget`; writes `evaluation.json` and, of each motion given, a GIF
    and a strip to `--out`."""
    import jax

    from jaxrl_rewards.studies.sparse_retargeting.train.command import stored_task
    from jaxrl_rewards.studies.sparse_retargeting.train.task import make_learner, make_world
    from jaxrl_rewards.train.checkpoint import load_state

    task = stored_task(folder, stored)
    motions = _given_motions(options, task)
    episodes = options.episodes or (STARTS if motions else EPISODES)
    world = make_world(task.env)
    learner = make_learner(world, task)
    state, update = load_state(folder, learner, which=_which(options.which, folder))
    env = dataclasses.replace(task.env, physics="c")
    out = options.out or folder / "evaluation"
    played = (learner.act, state, jax.random.key(options.seed), episodes)
    title = f"{world.character.name}, update {update}"
    if motions:
        found = _on_motions(make_world(env, motions=motions), played, title, world.clip_names, out)
    else:
        found = _on_disturbances(make_world(env, disturbed=True), played, title)
    record = {"run": str(folder), "character": world.character.name, "update": update, **found}
    atomic_write_json(Path(out) / "evaluation.json", record)
    print(f"results in {out}")
    return 0


def _on_motions(
    given: Any, played: tuple, title: str, trained: Sequence[str], out: Path
) -> dict[str, Any]:
    """Every motion by itself, from several starts: a table, and pictures in `out`."""
    from jaxrl_rewards.studies.sparse_retargeting.train.follow import Player, record_picture

    act, state, key, episodes = played
    player = Player(given, given.default_params(), act, min(episodes, TOGETHER))
    clips, shown_of = clip_table(player, state, key, episodes)
    count = next(iter(shown_of.values()))["alive"].shape[1]
    known = set(given.clip_names) & set(trained)
    seen = f"trained on: {', '.join(sorted(known))}" if known else "none trained on"
    print(f"{title}: {count} starts per clip, {seen}")
    print(table(clips))
    for name, shown in shown_of.items():
        record_picture(given, shown, PICTURE_SECONDS, out, re.sub(r"[^\w.()+-]", "_", name))
    return {"clips": clips, "episodes": count}


def _on_disturbances(disturbed: Any, played: tuple, title: str) -> dict[str, Any]:
    """Random starts, undisturbed and under every disturbance."""
    from jaxrl_rewards.studies.sparse_retargeting.train.follow import Player, how_long

    act, state, key, episodes = played
    together = min(episodes, TOGETHER)
    count = -(-episodes // together) * together
    base = disturbed.default_params()
    player = Player(disturbed, base, act, together)
    survival = {}
    for name, params in _disturbed_params(base).items():
        numbers = player.measure(state, key, params, episodes)
        survival[name] = numbers
        print(
            f"{title}, {name}: follows "
            f"{100 * numbers['followed']:.0f} % of {count} starts "
            f"{how_long(disturbed)}, mean {numbers['seconds']:.1f} s, "
            f"keypoints {numbers['keypoint_error']:.3f} m"
        )
    return {"survival": survival, "episodes": count}


def _disturbed_params(base: Any) -> dict[str, Any]:
    """The world's params by disturbance, of the body and of the stream."""
    import jax.numpy as jnp

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
    return rows


def _given_motions(options: Any, task: Any) -> list[Any]:
    """The motions named on the command line; BVH files are read as the run's were, unless told."""
    from jaxrl_rewards.studies.sparse_retargeting.train.task import (
        generated_motion,
        recorded_motions,
    )

    given = recorded_motions(options.motion or (), options.bvh or task.env.bvh)
    return given + [generated_motion(text) for text in options.generated or ()]


def _which(asked: str | None, folder: Path) -> str | int:
    """Which checkpoint: the one asked for, else the one that training kept as the avatar, else the
    latest."""
    from jaxrl_rewards.studies.sparse_retargeting.train.task import is_number

    if asked is not None:
        return int(asked) if is_number(asked) else asked
    try:
        kept = read_json(folder / "evaluation.json", finite=False)["update"]
    except (InputError, KeyError, TypeError):  # no run that has ended
        return "latest"
    return kept if isinstance(kept, int) else "latest"


def clip_table(
    player: Any, state: Any, key: Any, episodes: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Per clip: mean errors over starts spread over it, and the kinematic reference over the same
    starts; and what was played."""
    import jax.numpy as jnp

    from jaxrl_rewards.studies.sparse_retargeting.train.follow import clip_errors, reference_errors

    world, params = player.world, player.params
    library, dt = params.library, world.physics.dt
    rows: dict[str, Any] = {}
    played: dict[str, Any] = {}
    for clip, name in enumerate(world.clip_names):
        weights = jnp.zeros_like(params.start_weights).at[clip].set(1.0)
        out = player(state, key, params.replace(start_weights=weights), episodes)
        played[name] = out
        out["alive"] = out["alive"] & out["within"]
        each = [clip_errors(out, episode, dt) for episode in range(out["alive"].shape[1])]
        available = float(out["within"].sum(0).mean()) * dt
        rows[name] = {
            "avatar": {
                column: float(np.nanmean([one.get(column, np.nan) for one in each]))
                for column in COLUMNS
            },
            "kinematic": {
                **reference_errors(library, clip, world.character.scale, dt),
                "seconds": available,
            },
        }
    return rows, played


def table(rows: dict[str, Any]) -> str:
    """The rows as text."""
    width = max(len(name) for name in rows) + 11
    lines = [" " * width + "".join(f"{title:>13}" for title in COLUMNS.values())]
    for name, kinds in rows.items():
        for kind, numbers in kinds.items():
            cells = "".join(f"{numbers.get(column, np.nan):13.3f}" for column in COLUMNS)
            lines.append(f"{name + ' ' + kind:<{width}}{cells}")
    return "\n".join(lines)
