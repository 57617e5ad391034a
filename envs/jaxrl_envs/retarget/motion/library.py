"""Many clips as one padded array pytree: sampled, looked up and windowed inside jit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from jaxrl_rewards.core import InputError, record
from jaxrl_rewards.core.rotations import quat_slerp


@record
class MotionLibrary:
    """Clips of one kind of record, padded to the longest with their last frame.

    `frames` is a record (or any pytree) whose leaves are `[clips, frames, ...]`: for instance a
    `Reference` or a `HumanPose` without what is not per frame.
    """

    frames: Any
    lengths: Int[Array, "clips"]
    frame_times: Float[Array, "clips"]
    weights: Float[Array, "clips"]
    """How often each clip is drawn, relatively; data, so that failures can raise them."""

    @property
    def num_clips(self) -> int:
        """Number of clips."""
        return self.lengths.shape[0]

    @property
    def durations(self) -> Float[Array, "clips"]:
        """Seconds from the first to the last frame of each clip."""
        return (self.lengths - 1) * self.frame_times


def build_library(
    clips: Sequence[Any],
    frame_times: Sequence[float] | float,
    weights: Sequence[float] | None = None,
) -> MotionLibrary:
    """A library of records of one structure whose leaves all begin with the frame axis.

    InputError for no clips, records of different structure or shape, leaves of different length
    in one clip, a frame time that is not positive, or weights that are negative or all 0.
    """
    if not clips:
        raise InputError("a motion library needs at least one clip")
    shapes = {
        (jax.tree.structure(clip), tuple(np.shape(leaf)[1:] for leaf in jax.tree.leaves(clip)))
        for clip in clips
    }
    if len(shapes) > 1:
        raise InputError(
            "the clips of a library must be records of one structure and shape; retarget them to "
            "one character first"
        )
    lengths = []
    for number, clip in enumerate(clips):
        counts = {np.shape(leaf)[0] if np.ndim(leaf) else 0 for leaf in jax.tree.leaves(clip)}
        if len(counts) != 1 or 0 in counts:
            raise InputError(
                f"clip {number} has leaves of {sorted(counts)} frames; all must begin with one "
                "frame axis of at least 1"
            )
        lengths.append(counts.pop())
    times = np.broadcast_to(np.asarray(frame_times, np.float32), (len(clips),))
    if not (times > 0).all():
        raise InputError(f"frame times are {times}; give seconds above 0")
    shares = np.ones(len(clips)) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (len(clips),) or not (shares >= 0).all() or not shares.sum() > 0:
        raise InputError(
            f"weights are {shares}; give one number per clip, none negative, not all 0"
        )
    longest = max(lengths)

    def pad(*leaves: Any) -> np.ndarray:
        return np.stack(
            [
                np.concatenate([leaf, np.repeat(leaf[-1:], longest - len(leaf), axis=0)])
                for leaf in map(np.asarray, leaves)
            ]
        )

    return MotionLibrary(
        frames=jax.tree.map(pad, *clips),
        lengths=np.asarray(lengths, np.int32),
        frame_times=times,
        weights=shares.astype(np.float32),
    )


def sample_start(
    key: PRNGKeyArray,
    library: MotionLibrary,
    *,
    margin: float | Float[Array, ""] = 0.0,
    weights: Float[Array, "clips"] | None = None,
) -> tuple[Int[Array, ""], Float[Array, ""]]:
    """A clip drawn by weight and a time in it, uniform from 0 to `margin` seconds before its end.

    `weights` replace the library's, for instance by how often each clip was failed. Clips no
    longer than `margin` start at 0. A clip of weight 0 is never drawn unless all are 0.
    """
    shares = jnp.asarray(library.weights if weights is None else weights, jnp.float32)
    first, second = jax.random.split(key)
    clip = jax.random.categorical(first, jnp.log(jnp.maximum(shares, 1e-30)))
    room = jnp.maximum(jnp.asarray(library.durations)[clip] - margin, 0.0)
    return clip, jax.random.uniform(second, dtype=jnp.float32) * room


def look_up(library: MotionLibrary, clip: Int[Array, ""], time: Float[Array, ""]) -> Any:
    """The record at a time in seconds; before the start and after the end, the nearest frame.

    Numbers are interpolated linearly, leaves whose name ends in `quat` or `quats` (also the root's
    in `qpos`, entries 3 to 6) along the sphere; booleans and integers are those of the nearest
    frame.
    """
    last = jnp.maximum(jnp.asarray(library.lengths)[clip] - 1, 0)
    place = jnp.clip(time / jnp.asarray(library.frame_times)[clip], 0.0, last)
    first = jnp.minimum(jnp.floor(place).astype(jnp.int32), jnp.maximum(last - 1, 0))
    second = jnp.minimum(first + 1, last)
    share = place - first

    def interpolate(path: Any, leaf: Array) -> Array:
        leaf = jnp.asarray(leaf)
        before, after = leaf[clip, first], leaf[clip, second]
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.where(share < 0.5, before, after)
        name = _leaf_name(path)
        if name.endswith(("quat", "quats")):
            return quat_slerp(before, after, share)
        straight = before + share * (after - before)
        if name == "qpos":
            return straight.at[3:7].set(quat_slerp(before[3:7], after[3:7], share))
        return straight

    return jax.tree_util.tree_map_with_path(interpolate, library.frames)


def window(
    library: MotionLibrary,
    clip: Int[Array, ""],
    time: Float[Array, ""],
    offsets: Float[Array, "moments"],
) -> tuple[Any, Bool[Array, "moments"]]:
    """The records at `time + offsets` seconds, and which of these moments lie within the clip.

    Negative offsets look back, positive ones ahead; outside the clip stands its nearest frame.
    """
    moments = time + jnp.asarray(offsets, jnp.float32)
    end = jnp.asarray(library.durations)[clip]
    inside = (moments >= 0.0) & (moments <= end)
    return jax.vmap(lambda moment: look_up(library, clip, moment))(moments), inside


def _leaf_name(path: Any) -> str:
    last = path[-1] if path else ""
    return str(getattr(last, "name", getattr(last, "key", last)))
