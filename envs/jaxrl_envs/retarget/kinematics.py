"""From a human's joint angles to a character's: mapping, scaling and limits."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import InputError


def kinematic_retarget(
    human_q: Float[Array, "... human_joints"],
    joint_map: Int[Array, "joints"],
    sign: Float[Array, "joints"],
    gain: Float[Array, "joints"],
    offset: Float[Array, "joints"],
    lower: Float[Array, "joints"],
    upper: Float[Array, "joints"],
    human_root_pos: Float[Array, "... 3"],
    human_root_rest_height: float | Float[Array, ""],
    char_root_rest_height: float | Float[Array, ""],
    human_leg_length: float | Float[Array, ""],
    char_leg_length: float | Float[Array, ""],
) -> tuple[
    Float[Array, "... joints"], Bool[Array, "joints"], Float[Array, "... 3"], Float[Array, ""]
]:
    """`(char_q, mapped_mask, char_root_pos, scale)`, angles in radians, lengths in metres.

    `char_q[j] = clip(sign · gain · human_q[joint_map[j]] + offset, lower, upper)`. Where
    `joint_map` is -1 the character has a joint that the human lacks: it rests at its clipped
    offset and `mapped_mask` is False. With `scale = char_leg_length / human_leg_length` the root
    moves `scale` times as far, and its height is `rest_c + scale (z - rest_h)`.

    InputError names the argument at fault: a shape that does not fit, and, where the values are
    known (not under a trace), an index out of range, a lower above its upper limit, a length or
    height that is not positive, or the frame that holds a number that is not finite.
    """
    human_q = _floats(human_q)
    count = jnp.shape(joint_map)
    for name, value in {
        "sign": sign,
        "gain": gain,
        "offset": offset,
        "lower": lower,
        "upper": upper,
    }.items():
        if jnp.shape(value) != count:
            raise InputError(
                f"{name} has shape {jnp.shape(value)} but joint_map has {count}; "
                "give one number per joint of the character"
            )
    if len(count) != 1 or human_q.ndim < 1 or jnp.shape(human_root_pos)[-1:] != (3,):
        raise InputError(
            f"joint_map has shape {count}, human_q {human_q.shape} and human_root_pos "
            f"{jnp.shape(human_root_pos)}; they must be (joints,), (..., human joints), (..., 3)"
        )
    check_map(human_q.shape[-1], joint_map, lower, upper)
    _check_frames({"human_q": human_q, "human_root_pos": human_root_pos})
    for name, value in {
        "human_root_rest_height": human_root_rest_height,
        "char_root_rest_height": char_root_rest_height,
        "human_leg_length": human_leg_length,
        "char_leg_length": char_leg_length,
    }.items():
        if _known(value) and not np.all(np.asarray(value) > 0):
            raise InputError(f"{name} is {np.asarray(value)}; give a length above 0 in metres")
    joint_map = jnp.asarray(joint_map)
    mapped = joint_map >= 0
    taken = jnp.take(human_q, jnp.maximum(joint_map, 0), axis=-1)
    driven = jnp.where(mapped, _floats(sign) * _floats(gain) * taken, 0.0)
    char_q = jnp.clip(driven + _floats(offset), _floats(lower), _floats(upper))
    scale = _floats(char_leg_length) / _floats(human_leg_length)
    root = _floats(human_root_pos)
    height = char_root_rest_height + scale * (root[..., 2:] - human_root_rest_height)
    return char_q, mapped, jnp.concatenate([scale * root[..., :2], height], axis=-1), scale


def _floats(value: Any) -> Float[Array, "..."]:
    return jnp.asarray(value, jnp.float32)


def _known(value: Any) -> bool:
    return not isinstance(value, jax.core.Tracer)


def check_map(human_joints: int, joint_map: Any, lower: Any, upper: Any) -> None:
    """InputError for an index out of range or a lower above its upper limit, where known."""
    if _known(joint_map):
        bad = np.flatnonzero((np.asarray(joint_map) < -1) | (np.asarray(joint_map) >= human_joints))
        if bad.size:
            raise InputError(
                f"joint_map[{bad[0]}] is {np.asarray(joint_map)[bad[0]]}, but there are "
                f"{human_joints} human joints; give -1 (none) or 0 to {human_joints - 1}"
            )
    if _known(lower) and _known(upper):
        bad = np.flatnonzero(~(np.asarray(lower) <= np.asarray(upper)))
        if bad.size:
            raise InputError(
                f"lower[{bad[0]}] is {np.asarray(lower)[bad[0]]}, above upper "
                f"{np.asarray(upper)[bad[0]]}; swap the limits of that joint"
            )


def _check_frames(values: dict[str, Any]) -> None:
    for name, value in values.items():
        if _known(value) and not np.isfinite(np.asarray(value)).all():
            frame = np.argwhere(~np.isfinite(np.asarray(value)))[0][:-1]
            where = f" in frame {int(frame[0])}" if frame.size else ""
            raise InputError(f"{name} holds a number that is not finite{where}; mend or drop it")
