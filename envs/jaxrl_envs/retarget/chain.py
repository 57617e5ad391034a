"""Forward kinematics of a character's hinges, and the lowest points of its feet."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_envs.retarget.characters.record import KEYPOINTS
from jaxrl_envs.retarget.characters.shapes import side_points
from jaxrl_rewards.core import InputError, record, static_field
from jaxrl_rewards.core.rotations import quat_from_rotvec, quat_multiply, quat_rotate

_UNTURNED = np.array([1.0, 0.0, 0.0, 0.0])


@record
class Chain:
    """Links under a free root, each at a fixed place on its parent and then turned by one hinge.

    A body without hinges is one link without axis, a body with several is several links. Link 0
    is the root; a parent comes before its children.
    """

    parents: Int[Array, "links"]
    offsets: Float[Array, "links 3"]
    """Of a link in its parent, metres."""
    quats: Float[Array, "links 4"]
    axes: Float[Array, "links 3"]
    anchors: Float[Array, "links 3"]
    """Of the hinge in the link."""
    hinges: Int[Array, "links"]
    """Index of the angle that turns the link; the number of angles where none does."""
    keypoints: Float[Array, "points 3"]
    keypoint_links: Int[Array, "points"]
    soles: Float[Array, "soles 3"]
    """Points that can touch the ground, in their links' frames."""
    sole_radii: Float[Array, "soles"]
    sole_links: Int[Array, "soles"]
    sole_feet: tuple[int, ...] = static_field()
    """Index of the foot that a sole point belongs to."""
    num_feet: int = static_field()


def chain_kinematics(
    chain: Chain,
    root_position: Float[Array, "... 3"],
    root_quat: Float[Array, "... 4"],
    angles: Float[Array, "... joints"],
) -> tuple[Float[Array, "links ... 3"], Float[Array, "links ... 4"]]:
    """World positions and orientations of all links; `angles` in radians."""
    count, batch = chain.offsets.shape[0], angles.shape[:-1]
    padded = jnp.moveaxis(
        jnp.concatenate([angles, jnp.zeros((*batch, 1), angles.dtype)], axis=-1), -1, 0
    )

    def place(done, link):
        positions, quats = done
        number, parent, offset, fixed, axis, anchor, hinge = link
        before = quat_multiply(quats[parent], fixed)
        turned = quat_multiply(before, quat_from_rotvec(padded[hinge][..., None] * axis))
        position = positions[parent] + quat_rotate(quats[parent], offset)
        position = position + quat_rotate(before, anchor) - quat_rotate(turned, anchor)
        return (positions.at[number].set(position), quats.at[number].set(turned)), None

    start = (
        jnp.zeros((count, *batch, 3), angles.dtype).at[0].set(root_position),
        jnp.zeros((count, *batch, 4), angles.dtype).at[0].set(root_quat),
    )
    links = (
        jnp.arange(count, dtype=jnp.int32), chain.parents, chain.offsets, chain.quats, chain.axes,
        chain.anchors, chain.hinges,
    )  # fmt: skip
    done, _ = jax.lax.scan(place, start, jax.tree.map(lambda x: jnp.asarray(x)[1:], links))
    return done


def chain_points(
    chain: Chain, positions: Float[Array, "links ... 3"], quats: Float[Array, "links ... 4"]
) -> tuple[Float[Array, "... points 3"], Float[Array, "... soles 3"]]:
    """World positions of the keypoints and of the sole points' centres."""

    def place(links: Array, local: Array) -> Array:
        local = jnp.asarray(local).reshape(len(local), *[1] * (positions.ndim - 2), 3)
        return jnp.moveaxis(positions[links] + quat_rotate(quats[links], local), 0, -2)

    return place(chain.keypoint_links, chain.keypoints), place(chain.sole_links, chain.soles)


def chain_of(model: Any, foot_names: tuple[str, ...], where: str = "character") -> Chain:
    """The chain of a compiled `mujoco.MjModel` with one free joint, hinges, the sites
    `keypoint_<name>` and `touch_<foot>`, and contact pairs of the feet's geoms.

    InputError where a site is missing or no geom of a foot is in a contact pair.
    """
    root = int(model.jnt_bodyid[np.flatnonzero(model.jnt_type == 0)[0]])
    links: list[tuple] = [(0, np.zeros(3), _UNTURNED, np.zeros(3), np.zeros(3), -1)]
    last = {root: 0}
    hinges = {
        int(joint): number for number, joint in enumerate(np.flatnonzero(model.jnt_type == 3))
    }
    for body in range(root + 1, model.nbody):
        parent = last.get(int(model.body_parentid[body]))
        if parent is None:
            continue
        offset, quat = model.body_pos[body], model.body_quat[body]
        own = [joint for joint in hinges if int(model.jnt_bodyid[joint]) == body]
        for joint in own or [-1]:
            axis = model.jnt_axis[joint] if own else np.zeros(3)
            anchor = model.jnt_pos[joint] if own else np.zeros(3)
            links.append((parent, offset, quat, axis, anchor, hinges.get(joint, -1)))
            parent, offset, quat = len(links) - 1, np.zeros(3), _UNTURNED
        last[body] = len(links) - 1
    parents, offsets, quats, axes, anchors, turned_by = zip(*links, strict=True)
    sites = [_site(model, f"keypoint_{name}", where) for name in KEYPOINTS]
    soles = _sole_points(model, foot_names, where)
    floats = lambda values: np.asarray(values, np.float32)  # noqa: E731
    whole = lambda values: np.asarray(values, np.int32)  # noqa: E731
    return Chain(
        parents=whole(parents),
        offsets=floats(offsets),
        quats=floats(quats),
        axes=floats(axes),
        anchors=floats(anchors),
        hinges=whole([hinge if hinge >= 0 else len(hinges) for hinge in turned_by]),
        keypoints=floats(model.site_pos[sites]),
        keypoint_links=whole([last[int(model.site_bodyid[site])] for site in sites]),
        soles=floats([point for _, _, point, _ in soles]),
        sole_radii=floats([radius for *_, radius in soles]),
        sole_links=whole([last[body] for body, *_ in soles]),
        sole_feet=tuple(foot for _, foot, *_ in soles),
        num_feet=len(foot_names),
    )


def _site(model: Any, name: str, where: str) -> int:
    try:
        return int(model.site(name).id)
    except KeyError as error:
        raise InputError(f"{where}: the model has no site {name!r}; add it") from error


def _sole_points(
    model: Any, foot_names: tuple[str, ...], where: str
) -> list[tuple[int, int, np.ndarray, float]]:
    """`(body, foot, point, radius)` of all points of the feet that can be lowest."""
    touch = {
        int(model.site_bodyid[_site(model, f"touch_{name}", where)]): foot
        for foot, name in enumerate(foot_names)
    }
    found = []
    for geom in sorted({int(g) for g in [*model.pair_geom1, *model.pair_geom2]}):
        body = owner = int(model.geom_bodyid[geom])
        while owner not in touch and owner > 0:
            owner = int(model.body_parentid[owner])
        if owner not in touch:
            continue
        points, radius = side_points(model, geom)
        for point in points:
            placed = model.geom_pos[geom] + quat_rotate(model.geom_quat[geom], point)
            found.append((body, touch[owner], placed, radius))
    bare = set(range(len(foot_names))) - {foot for _, foot, *_ in found}
    if bare:
        raise InputError(
            f"{where}: the foot {foot_names[min(bare)]!r} has no geom that touches the ground; "
            "name one in the mapping"
        )
    return found
