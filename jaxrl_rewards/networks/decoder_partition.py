"""How a decoder's weights are split over the devices of a mesh.

Kernels that widen (query, key, value, gate, up) are split by their outputs over "model", those that
narrow (output, down) by their inputs, so that a layer needs two sums over devices (Shoeybi et al.
2019, arXiv 1909.08053); the embedding and the head by words. With `fsdp` the other axis of every
kernel is split over "data" (Rajbhandari et al. 2020, arXiv 1910.02054). What an axis does not
divide stays whole along it. A placement never changes what is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

WIDEN = ("query", "key", "value", "gate", "up")
NARROW = ("output", "down")
Place = tuple[str | None, ...]


def decoder_partition(*, fsdp: bool = False) -> Callable[[Any, Mesh], Any]:
    """`partition(params, mesh) -> shardings` for `Learner.partition`; other leaves stay whole.

    `params` is a decoder's tree, or one that holds it (with value heads, adapters, moments).
    """
    other = "data" if fsdp else None

    def partition(params: Any, mesh: Mesh) -> Any:
        def place(path: tuple, leaf: Any) -> NamedSharding:
            names = [str(getattr(key, "key", getattr(key, "name", ""))) for key in path]
            axes = _axes(names, len(leaf.shape), other)
            return NamedSharding(mesh, PartitionSpec(*_fitting(axes, leaf.shape, mesh)))

        return jax.tree_util.tree_map_with_path(place, params)

    return partition


def _axes(names: list[str], rank: int, other: str | None) -> Place:
    """The axis of the mesh for each axis of a leaf."""
    name = names[-1] if names else ""
    if name == "embedding" and rank == 2:
        return ("model", other)
    if name == "head" and rank == 2:
        return (other, "model")
    if "layers" not in names or rank != 3:
        return (None,) * rank
    if name in WIDEN:
        return (None, other, "model")
    return (None, "model", other) if name in NARROW else (None,) * rank


def _fitting(axes: Place, shape: tuple[int, ...], mesh: Mesh) -> Place:
    sizes = dict(mesh.shape)
    return tuple(
        axis if axis is not None and size % sizes.get(axis, 1) == 0 and sizes.get(axis, 1) > 1
        else None
        for axis, size in zip(axes, shape)
    )  # fmt: skip
