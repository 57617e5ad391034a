"""The lower sides of geoms, as points with spheres around them."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from jaxtyping import Float

DIRECTIONS = 128
"""Directions, evenly spread, in which a mesh's farthest vertices stand for it."""


def side_points(model: Any, geom: int) -> tuple[Float[np.ndarray, "points 3"], float]:
    """Points in the geom's frame, metres, and the radius of the spheres around them: the lowest of
    these is the geom's lowest point, however it is turned. Exact for boxes, spheres and capsules,
    within 2 % of the size for the others."""
    import mujoco

    kinds = mujoco.mjtGeom
    kind, size = model.geom_type[geom], np.asarray(model.geom_size[geom], np.float64)
    if kind == kinds.mjGEOM_BOX:
        return np.array(list(itertools.product((-1.0, 1.0), repeat=3))) * size, 0.0
    if kind == kinds.mjGEOM_SPHERE:
        return np.zeros((1, 3)), float(size[0])
    if kind == kinds.mjGEOM_CAPSULE:
        return np.array([[0.0, 0.0, -size[1]], [0.0, 0.0, size[1]]]), float(size[0])
    if kind == kinds.mjGEOM_CYLINDER:
        angle = np.arange(16) * np.pi / 8.0
        rim = np.stack([np.cos(angle) * size[0], np.sin(angle) * size[0]], axis=1)
        ends = [np.column_stack([rim, np.full(len(rim), z)]) for z in (-size[1], size[1])]
        return np.concatenate(ends), 0.0
    if kind == kinds.mjGEOM_ELLIPSOID:
        stretched = _directions() * size  # where the surface is farthest in each direction
        return stretched * size / np.linalg.norm(stretched, axis=1, keepdims=True), 0.0
    if kind == kinds.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first, count = int(model.mesh_vertadr[mesh]), int(model.mesh_vertnum[mesh])
        vertices = np.asarray(model.mesh_vert[first : first + count], np.float64)
        farthest = np.unique(np.argmax(vertices @ _directions().T, axis=0))
        return vertices[farthest], 0.0
    return np.zeros((1, 3)), float(model.geom_rbound[geom])


def lowest_point(model: Any, data: Any, geom: int) -> float:
    """Height of a geom's lowest point in the pose of `data`, metres."""
    points, radius = side_points(model, geom)
    rotation = data.geom_xmat[geom].reshape(3, 3)
    return float(data.geom_xpos[geom, 2] + np.min(points @ rotation[2])) - radius


def _directions() -> Float[np.ndarray, "directions 3"]:
    """Unit vectors along a golden spiral, and the axes."""
    index = np.arange(DIRECTIONS) + 0.5
    z, turn = 1.0 - 2.0 * index / DIRECTIONS, np.pi * (1.0 + 5.0**0.5) * index
    ring = np.sqrt(1.0 - z * z)
    spiral = np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1)
    return np.concatenate([spiral, np.eye(3), -np.eye(3)])
