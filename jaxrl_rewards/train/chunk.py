"""A chunk of updates as one compiled loop, and what is measured in it.

The number of turns is a run-time value, so chunks of every length run the same machine code:
results do not depend, to the bit, on where chunks end or where a run was interrupted and resumed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxrl_rewards.core.compiling import jit_program
from jaxrl_rewards.core.mesh import replicate, replicated
from jaxrl_rewards.learners.api import seed_axes
from jaxrl_rewards.train.logging import BOOKKEEPING

if TYPE_CHECKING:
    from jaxrl_rewards.learners.api import Learner, LearnerState


class Health(NamedTuple):
    """How the updates of a chunk went; one number, or one per seed."""

    skipped: Any
    """Optimiser steps refused since the run began."""
    idle: Any
    """Updates of this chunk that were refused in full."""
    finite: Any
    """Whether all parameters, those of `models` too, are finite after it."""


def first_state(
    learner: Learner,
    hparams: Any,
    key: jax.Array,
    num_seeds: int | None,
    hparam_axis: int | None,
    mesh: Mesh | None,
    shardings: Any,
) -> Any:
    """The compiled `init`: one state, or one per seed from `split(key, num_seeds)`."""
    key = key if mesh is None else replicate(key, mesh)

    def init(key: jax.Array, hparams: Any) -> Any:
        if num_seeds is None:
            state = learner.init(key, hparams)
        else:
            each = jax.vmap(learner.init, in_axes=(0, hparam_axis), out_axes=seed_axes())
            state = each(jax.random.split(key, num_seeds), hparams)
        return jax.tree.map(strong, state)

    return jax.jit(init, out_shardings=shardings)(key, hparams)


def compile_chunk(
    learner: Learner,
    state: Any,
    hparams: Any,
    length: int,
    num_seeds: int | None,
    hparam_axis: int | None,
    mesh: Mesh | None,
    shardings: Any,
) -> Callable[..., tuple[Any, Any, Health]]:
    """`chunk(state, hparams, count) -> (state, metrics [length, ...], Health)`, state donated."""
    update = learner.update
    if num_seeds is not None:
        update = jax.vmap(update, in_axes=(seed_axes(), hparam_axis), out_axes=(seed_axes(), 0))
    after, metric_shapes = jax.eval_shape(update, state, hparams)
    same_structure(state, after)
    for name in BOOKKEEPING:
        if name in metric_shapes:
            raise ValueError(f"the learner's metric {name!r} has a name that the log needs")

    def chunk(state: Any, hparams: Any, count: jax.Array) -> tuple[Any, Any, Health]:
        buffers = jax.tree.map(
            lambda leaf: jnp.zeros((length, *leaf.shape), leaf.dtype), metric_shapes
        )

        def body(index: jax.Array, carry: tuple) -> tuple:
            before, buffers, idle = carry
            state, metrics = update(before, hparams)
            idle = idle + _refused_whole(before, state).astype(jnp.int32)
            # keeps the storing of metrics, whose size is the chunk's, out of the arithmetic
            metrics = jax.lax.optimization_barrier(metrics)
            buffers = jax.tree.map(
                lambda buffer, value: buffer.at[index].set(value), buffers, metrics
            )
            return jax.tree.map(strong, state), buffers, idle

        start = (state, buffers, jnp.zeros_like(state.skipped))
        state, buffers, idle = jax.lax.fori_loop(0, count, body, start)
        return (
            state,
            buffers,
            Health(state.skipped, idle, _finite((state.params, state.models), state.skipped)),
        )

    outputs = None if mesh is None else (shardings, replicated(mesh), replicated(mesh))
    jitted = jit_program(chunk, donate_argnums=0, out_shardings=outputs)
    whole_seeds = mesh is not None and num_seeds is not None
    whole_seeds = whole_seeds and num_seeds % mesh.shape["data"] == 0
    # batches made within an update ask for this mesh, unless whole seeds have taken it
    inner = mesh is not None and not whole_seeds
    with jax.set_mesh(mesh) if inner else contextlib.nullcontext():
        return jitted.lower(state, hparams, np.int32(1)).compile()


def strong(leaf: jax.Array) -> jax.Array:
    """The same values without JAX's weak typing, so that a state has one type for ever."""
    leaf = jnp.asarray(leaf)
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
        return leaf
    return jax.lax.convert_element_type(leaf, leaf.dtype)


def _refused_whole(before: LearnerState, after: LearnerState) -> jax.Array:
    """Whether an update was refused in full: `skipped` has grown and no parameter has moved.

    Per seed where `skipped` has a seed axis. (A learner may count optimiser steps, of which one
    update takes several, so the growth alone does not tell.)
    """
    grown = after.skipped > before.skipped
    for old, new in zip(jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True):
        same = old == new
        grown &= jnp.all(same, axis=tuple(range(grown.ndim, same.ndim)))
    return grown


def _finite(params: Any, like: jax.Array) -> jax.Array:
    """Whether every parameter is finite; per seed where `like` has a seed axis."""
    finite = jnp.ones_like(like, bool)
    for leaf in jax.tree.leaves(params):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            finite &= jnp.all(jnp.isfinite(leaf), axis=tuple(range(finite.ndim, leaf.ndim)))
    return finite


def same_structure(before: Any, after: Any) -> None:
    """ValueError where two states differ in structure, shapes or dtypes."""
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise ValueError(
            "the learner's update changes the structure of its state: "
            f"{jax.tree.structure(before)} becomes {jax.tree.structure(after)}"
        )
    leaves = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    for (path, old), new in leaves:
        if old.shape != new.shape or old.dtype != new.dtype:
            raise ValueError(
                f"the learner's update changes state{jax.tree_util.keystr(path)} from "
                f"{old.dtype}{list(old.shape)} to {new.dtype}{list(new.shape)}"
            )
