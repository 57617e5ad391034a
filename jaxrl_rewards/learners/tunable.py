"""The part of a tree of hyper-parameters that a gradient can be taken by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def tunable(hparams: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Split a tree into its floating leaves and a function that puts the rest back.

        floats, rebuild = tunable(ppo.hparams)
        gradient = jax.grad(lambda floats: loss(rebuild(floats)))(floats)

    Args:
      hparams: any pytree, e.g. `PPOHParams`, whose leaves may be floats, integers, booleans and
        typed keys.

    Returns:
      `floats`, the same tree with None in the place of every leaf that is not floating (Python's
      floats become float32 arrays; arrays keep their dtype), and `rebuild(floats)`, the whole tree
      with its other leaves as they were. `rebuild` raises ValueError for another structure.
      Both are pure: `floats` may be traced, batched, or an update of an optimiser applied to it.
    """
    leaves, structure = jax.tree.flatten(hparams)
    chosen = [_is_float(leaf) for leaf in leaves]
    floats = [
        (jnp.asarray(leaf, jnp.float32) if isinstance(leaf, float) else jnp.asarray(leaf))
        if keep
        else None
        for leaf, keep in zip(leaves, chosen, strict=True)
    ]
    expected = jax.tree.structure(jax.tree.unflatten(structure, floats))

    def rebuild(values: Any) -> Any:
        given, found = jax.tree.flatten(values)
        if found != expected:
            raise ValueError(
                f"the values have another structure than tunable returned: {found} instead of "
                f"{expected}"
            )
        rest = iter(given)
        whole = [next(rest) if keep else leaf for leaf, keep in zip(leaves, chosen, strict=True)]
        return jax.tree.unflatten(structure, whole)

    return jax.tree.unflatten(structure, floats), rebuild


def _is_float(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    if dtype is None:
        return isinstance(leaf, float)
    return bool(jnp.issubdtype(dtype, jnp.floating))
