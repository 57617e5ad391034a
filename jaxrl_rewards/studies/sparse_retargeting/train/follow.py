"""How well an avatar follows: many episodes at random places, and whole clips frame by frame."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.studies.sparse_retargeting.train.host import on_host

Policy = Callable[[Any], Any]
"""`policy(obs) -> action`, unbatched, with the policy's mode."""


def play(world: Any, params: Any, policy: Policy, key: jax.Array, episodes: int, steps: int) -> Any:
    """`episodes` episodes of `steps` steps side by side, past their ends too.

    Returns a dict of arrays `[steps, episodes, ...]`: `alive` (not terminated so far), `within`
    (neither the time limit nor the clip's end passed), the errors of the world's `info`, `qpos`,
    `keypoints` and `keypoints_ref` (both over the character's scale), `foot_speed`, `contact`.
    Jittable.
    """
    key_reset, key_steps = jax.random.split(key)
    reset = jax.vmap(world.reset, in_axes=(0, None))
    step = jax.vmap(world.step, in_axes=(0, 0, 0, None))

    def one(carry, keys):
        state, obs, alive, over = carry
        state, seen = step(keys, state, jax.vmap(policy)(obs), params)
        alive = alive & ~seen.terminated
        now = jax.vmap(world.tracking, (0, None))(state, params)
        speed = jnp.linalg.norm(now.keypoints_vel[..., 3:, :2], axis=-1)
        out = {
            "alive": alive,
            "within": ~over,
            "qpos": state.physics.qpos,
            "keypoints": now.keypoints,
            "keypoints_ref": now.keypoints_ref,
            "root_angle": now.root_angle_error,
            "foot_speed": speed,
            "contact": now.contact,
            "frame": state.frame,
            **{
                name: seen.info[name] for name in ("keypoint_error", "joint_error", "contact_match")
            },
        }
        return (state, seen.obs, alive, over | seen.truncated), out

    state, first = reset(jax.random.split(key_reset, episodes), params)
    keys = jax.random.split(key_steps, (steps, episodes))
    start = (state, first.obs, jnp.ones((episodes,), bool), jnp.zeros((episodes,), bool))
    _, out = jax.lax.scan(one, start, keys)
    return {**out, "clip": state.clip}


def survival(out: dict[str, Any], clips: tuple[str, ...] = ()) -> dict[str, float]:
    """Of `play`: mean seconds until an episode fails or its clip ends, share that does not fail
    before, mean seconds that there were to follow (`available`), and the mean errors; with several
    `clips`, seconds and share of each too (NaN where no episode started in it)."""
    alive = np.asarray(out["alive"] & out["within"])
    steps, there = alive.sum(0), np.asarray(out["within"]).sum(0)
    lasted = steps >= there
    result = {
        "seconds": float(steps.mean()) / 30.0,
        "followed": float(lasted.mean()),
        "available": float(there.mean()) / 30.0,
    }
    for name in ("keypoint_error", "joint_error", "contact_match"):
        result[name] = float(np.where(alive, out[name], 0.0).sum() / max(steps.sum(), 1))
    for index, name in enumerate(clips if len(clips) > 1 else ()):
        own = np.asarray(out["clip"]) == index
        result[f"{name}/followed"] = float(lasted[own].mean()) if own.any() else math.nan
        result[f"{name}/seconds"] = float(steps[own].mean()) / 30.0 if own.any() else math.nan
    return result


def how_long(world: Any) -> str:
    """What "followed" means in a world: for 10 s, or to the end of clips that leave less."""
    seconds = world.spec.max_steps * world.physics.dt
    library = world.default_params().library
    short = np.asarray(library.length - library.starts) < world.spec.max_steps
    return f"for {seconds:.0f} s" + (" or to the clip's end" if short.any() else "")


def clip_errors(out: dict[str, Any], episode: int, dt: float) -> dict[str, float]:
    """Tracking errors of one episode of `play` up to its failure; lengths over the scale.

    `seconds`, `keypoint_error` (m), `rotation_error` of the root (rad), `joint_error` (rad),
    `contact_match`, and of avatar and reference `jerk` (m/s³) and `foot_skate` (m/s).
    """
    from jaxrl_envs.retarget.metrics import tracking_metrics

    steps = int(np.asarray(out["alive"])[:, episode].sum())
    if steps < 4:
        return {"seconds": steps * dt}
    take = {name: np.asarray(out[name])[:steps, episode] for name in out if name != "clip"}
    metrics = tracking_metrics(
        take["keypoints"], take["keypoints_ref"], dt, take["foot_speed"], take["contact"]
    )
    return {
        "seconds": steps * dt,
        "keypoint_error": float(metrics["mean_keypoint_error"]),
        "rotation_error": float(take["root_angle"].mean()),
        "joint_error": float(take["joint_error"].mean()),
        "contact_match": float(take["contact_match"].mean()),
        "jerk": float(metrics["mean_jerk"]),
        "foot_skate": float(metrics["foot_skate"]),
    }


def reference_errors(library: Any, clip: int, scale: float, dt: float) -> dict[str, float]:
    """The same of the kinematic reference by itself: no tracking error, but its jerk and skate;
    without `seconds`, for it follows as long as one lets it."""
    from jaxrl_envs.retarget.metrics import tracking_metrics

    frames = int(library.length[clip])
    keypoints = np.asarray(library.keypoints[clip, :frames]) / scale
    speed = np.linalg.norm(np.asarray(library.keypoints_vel[clip, :frames, 3:, :2]), axis=-1)
    contact = np.asarray(library.contact[clip, :frames])
    metrics = tracking_metrics(keypoints, keypoints, dt, speed / scale, contact)
    return {
        "keypoint_error": 0.0,
        "rotation_error": 0.0,
        "joint_error": 0.0,
        "contact_match": 1.0,
        "jerk": float(metrics["mean_jerk"]),
        "foot_skate": float(metrics["foot_skate"]),
    }


class Player:
    """Episodes of a policy in a world, some at a time: one program for all that is measured or
    drawn. It runs on the CPU."""

    def __init__(self, world: Any, params: Any, act: Callable[..., Any], episodes: int):
        """`act` as a learner's; `episodes`: at a time."""
        self.world, self.params, self.episodes = world, params, episodes

        def run(state: Any, key: jax.Array, params: Any) -> dict[str, Any]:
            def policy(obs: Any) -> Any:
                return act(state, obs, None, None)[0]

            return play(world, params, policy, key, episodes, world.spec.max_steps)

        self._run = on_host(jax.jit(run))

    def __call__(
        self, state: Any, key: jax.Array, params: Any = None, episodes: int = 1
    ) -> dict[str, np.ndarray]:
        """What `play` gives, for at least so many episodes: whole rounds. Other `params` of the
        world do not compile anew."""
        policy = state.replace(env_state=(), opt_state=(), memory=(), summary=(), statistics=())
        params = self.params if params is None else params
        rounds = [
            jax.device_get(self._run(policy, jax.random.fold_in(key, index), params))
            for index in range(-(-episodes // self.episodes))
        ]
        join = lambda name: np.concatenate(  # noqa: E731
            [out[name] for out in rounds], axis=0 if name == "clip" else 1
        )
        return {name: join(name) for name in rounds[0]}

    def measure(
        self, state: Any, key: jax.Array, params: Any = None, episodes: int = 1
    ) -> dict[str, float]:
        """`survival` of so many episodes at random starts, per clip too."""
        return survival(self(state, key, params, episodes), self.world.clip_names)


AFTERMATH = 15
"""Steps that a picture goes on after the avatar has lost its user."""


def record_picture(
    world: Any, out: dict[str, np.ndarray], seconds: float, folder: Any, name: str = "avatar"
) -> None:
    """Write `NAME.gif` and `NAME.png` of the episode of `play` that lasts longest: user beside
    avatar, to half a second after a failure."""
    from jaxrl_envs.retarget.draw import character_figure, draw_gif, draw_strip
    from jaxrl_envs.retarget.user import user_figure

    steps = min(round(seconds * 30), len(out["alive"]))
    alive = out["alive"][:steps]
    episode = int(np.argmax(alive.sum(0)))
    alive = alive[:, episode]
    steps = min(steps, int(alive.sum()) + AFTERMATH)
    clip, first = int(out["clip"][episode]), int(out["frame"][0, episode])
    user = user_figure(world, clip, first, steps)
    title = f"avatar: {world.character.name}"
    avatar = character_figure(
        world.character, out["qpos"][:steps, episode], title, alive=alive[:steps]
    )
    draw_gif(folder / f"{name}.gif", [user, avatar])
    draw_strip(folder / f"{name}.png", [user, avatar])
