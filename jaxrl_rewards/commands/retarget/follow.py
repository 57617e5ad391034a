"""How well an avatar follows: many episodes at random places, and whole clips frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

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
        now = state.tracking
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


def survival(out: dict[str, Any]) -> dict[str, Any]:
    """Of `play`: mean seconds until an episode fails or its clip ends, share that does not fail
    before, and the mean errors until then. Works on traced arrays."""
    alive = (out["alive"] & out["within"]).astype(jnp.float32)
    total = jnp.maximum(jnp.sum(alive), 1.0)
    errors = {
        name: jnp.sum(out[name] * alive) / total
        for name in ("keypoint_error", "joint_error", "contact_match")
    }
    return {
        "seconds": jnp.mean(jnp.sum(alive, axis=0)) / 30.0,
        "followed": jnp.mean(jnp.sum(alive, axis=0) >= jnp.sum(out["within"], axis=0)),
        **errors,
    }


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
    """The same of the kinematic reference by itself: no tracking error, but its jerk and skate."""
    from jaxrl_envs.retarget.metrics import tracking_metrics

    frames = int(library.length[clip])
    keypoints = np.asarray(library.keypoints[clip, :frames]) / scale
    speed = np.linalg.norm(np.asarray(library.keypoints_vel[clip, :frames, 3:, :2]), axis=-1)
    contact = np.asarray(library.contact[clip, :frames])
    metrics = tracking_metrics(keypoints, keypoints, dt, speed / scale, contact)
    return {
        "seconds": frames * dt,
        "keypoint_error": 0.0,
        "rotation_error": 0.0,
        "joint_error": 0.0,
        "contact_match": 1.0,
        "jerk": float(metrics["mean_jerk"]),
        "foot_skate": float(metrics["foot_skate"]),
    }


def evaluator(world: Any, params: Any, act: Callable, episodes: int) -> Callable[[Any, Any], Any]:
    """An `evaluate(state, key)` for the runner: `survival` over random starts, per clip too.

    A third argument evaluates under other params, without compiling anew.
    """
    names = world.clip_names

    @jax.jit
    def measure(state: Any, key: jax.Array, params: Any) -> dict[str, Any]:
        def policy(obs: Any) -> Any:
            return act(state, obs, None, None)[0]

        out = play(world, params, policy, key, episodes, world.spec.max_steps)
        result = survival(out)
        if len(names) > 1:
            alive, clip = out["alive"].astype(jnp.float32), out["clip"]
            for index, name in enumerate(names):
                own = (clip == index).astype(jnp.float32)
                count = jnp.maximum(jnp.sum(own), 1.0)
                result[f"{name}/followed"] = jnp.sum(alive[-1] * own) / count
                result[f"{name}/seconds"] = jnp.sum(alive * own) / count / 30.0
        return result

    def evaluate(state: Any, key: jax.Array, under: Any = None) -> dict[str, Any]:
        return measure(state, key, params if under is None else under)

    return evaluate


def record_picture(
    world: Any, params: Any, policy: Policy, key: jax.Array, seconds: float, folder: Any, title: str
) -> list[str]:
    """Write `avatar.gif` and `avatar.png` of the first episode that lasts: user beside avatar."""
    from jaxrl_envs.retarget.draw import character_figure, draw_gif, draw_strip
    from jaxrl_envs.retarget.user import user_figure

    steps = round(seconds * 30)
    out = jax.device_get(jax.jit(lambda k: play(world, params, policy, k, 16, steps))(key))
    episode = int(np.argmax(out["alive"].sum(0)))
    clip, first = int(out["clip"][episode]), int(out["frame"][0, episode])
    user = user_figure(world, clip, first, steps)
    avatar = character_figure(
        world.character, out["qpos"][:, episode], title, alive=out["alive"][:, episode]
    )
    draw_gif(folder / "avatar.gif", [user, avatar])
    draw_strip(folder / "avatar.png", [user, avatar])
    return ["avatar.gif", "avatar.png"]
