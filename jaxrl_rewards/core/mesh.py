"""Where arrays live: one mesh with the named axes "data" and "model".

Environments, prompts and seeds are split over "data". Parameters are replicated until they are
large, then split over "model". Algorithms are written for the global view (means over the whole
batch), so the same code runs on one device, on several, and on several hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

PyTree = Any

LARGE = 100_000_000
"""Parameter trees with at least this many elements are split over "model"."""

BATCHED_FIELDS = ("env_state", "statistics")
"""Fields of a `LearnerState` whose leaves lead with the worlds' axis, unless it names its own."""
PLACED_LIKE_PARAMETERS = ("params", "opt_state", "models")


def make_mesh(
    data: int | None = None, model: int = 1, *, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """A mesh of shape `(data, model)` over all devices of all processes.

    Args:
      data: size of the "data" axis; all devices divided by `model` when None.
      model: size of the "model" axis.
      devices: the devices to use; `jax.devices()` when None. With a given `data`, only the first
        `data * model` of them are used.

    Raises:
      ValueError: a size is below 1, or the devices do not suffice or do not divide.
    """
    devices = list(jax.devices() if devices is None else devices)
    if model < 1 or (data is not None and data < 1):
        raise ValueError(f"mesh sizes must be at least 1, got data={data}, model={model}")
    if data is None:
        if len(devices) % model:
            raise ValueError(f"model={model} does not divide the {len(devices)} devices")
        data = len(devices) // model
    if data * model > len(devices):
        raise ValueError(
            f"a mesh of data={data} x model={model} needs {data * model} devices, "
            f"there are {len(devices)}; lower one of the sizes"
        )
    grid = np.asarray(devices[: data * model]).reshape(data, model)
    return Mesh(grid, ("data", "model"))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of a value that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def leading_sharding(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """The sharding that splits axis `axis` over "data"."""
    return NamedSharding(mesh, PartitionSpec(*([None] * axis), "data"))


def shard_leading(tree: PyTree, mesh: Mesh) -> PyTree:
    """Put `tree` on `mesh`, the leading axis of every leaf split over "data".

    Raises:
      ValueError: a leaf is a scalar or its leading axis is not a multiple of the "data" size.
    """
    size = mesh.shape["data"]
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        shape = jnp.shape(leaf)
        if not shape or shape[0] % size:
            raise ValueError(
                f"leaf {jax.tree_util.keystr(path) or '(root)'} of shape {shape} cannot be split "
                f"over data={size}: its leading axis must be a multiple of {size}"
            )
    return place(tree, jax.tree.map(lambda _: leading_sharding(mesh), tree))


def replicate(tree: PyTree, mesh: Mesh) -> PyTree:
    """Put a copy of `tree` on every device of `mesh`.

    With several processes every process must pass equal values.
    """
    return place(tree, jax.tree.map(lambda _: replicated(mesh), tree))


def place(tree: PyTree, shardings: PyTree) -> PyTree:
    """Put each leaf under the sharding of the same position; works across processes.

    Across processes each one passes the whole (equal) host value and keeps its own shards.
    """
    return jax.tree.map(_place_leaf, tree, shardings)


def shard_batch(tree: PyTree, axis: int = 0) -> PyTree:
    """Within a computation: ask for axis `axis` of every leaf to be split over "data".

    For batches that a learner makes inside its update (prompts, answers), which no sharding of
    its state reaches. Leaves whose axis the "data" size does not divide, and computations outside
    `jax.set_mesh(mesh)` (which the runner enters), are left as they are; values never change.
    """
    mesh = jax.sharding.get_abstract_mesh()
    size = 1 if mesh.empty else dict(mesh.shape).get("data", 1)
    if size == 1:
        return tree
    spec = PartitionSpec(*([None] * axis), "data")

    def one(leaf: jax.Array) -> jax.Array:
        if leaf.ndim <= axis or leaf.shape[axis] % size:
            return leaf
        return jax.lax.with_sharding_constraint(leaf, spec)

    return jax.tree.map(one, tree)


def parameter_sharding(params: PyTree, mesh: Mesh, *, large: int = LARGE) -> PyTree:
    """Shardings of parameters, and of optimiser states shaped like them.

    Trees of fewer than `large` elements are replicated. In larger ones each leaf is split over
    "model" along its largest axis that the "model" size divides; leaves without one are
    replicated.
    """
    total = sum(int(np.prod(leaf.shape, dtype=np.int64)) for leaf in jax.tree.leaves(params))
    size = mesh.shape["model"]

    def one(leaf: Any) -> NamedSharding:
        axes = [axis for axis, length in enumerate(leaf.shape) if length and length % size == 0]
        if size == 1 or total < large or not axes:
            return replicated(mesh)
        axis = max(axes, key=lambda candidate: leaf.shape[candidate])
        return NamedSharding(mesh, PartitionSpec(*([None] * axis), "model"))

    return jax.tree.map(one, params)


def state_sharding(
    state: PyTree,
    mesh: Mesh,
    *,
    learner: Any = None,
    num_seeds: int | None = None,
    large: int = LARGE,
) -> PyTree:
    """Shardings of a whole `LearnerState` (arrays or `jax.eval_shape` results).

    Args:
      state: a `LearnerState`; with `num_seeds`, every leaf but `step` leads with the seed axis.
      mesh: the mesh of `make_mesh`.
      learner: names its batched fields and may place its parameters itself (`Learner.batched`,
        `Learner.partition`).
      num_seeds: number of seeds under `vmap`. When "data" divides it, seeds are split over
        "data", and nothing else is but what the learner's `partition` splits.
      large: see `parameter_sharding`.

    Otherwise leaves of batched fields whose worlds' axis is a multiple of the "data" size are split
    along it. Parameters, the optimiser's moments and models of the parameters' structure are placed
    alike: by the learner's `partition`, which sees one seed's, else by size; other models by
    theirs. All else, a replay memory too, is replicated. A sharding never changes what is computed,
    only where.
    """
    size = mesh.shape["data"]
    axis = 0 if num_seeds is None else 1
    whole_seeds = num_seeds is not None and num_seeds % size == 0
    partition = getattr(learner, "partition", None)
    if partition is not None and num_seeds is not None:
        partition = _of_seeds(partition, "data" if whole_seeds else None)
    if whole_seeds:
        split = jax.tree.map(lambda _: leading_sharding(mesh), state).replace(step=replicated(mesh))
        if partition is None:
            return split
        of_params = partition(state.params, mesh)
        placed = {
            name: _like_parameters(
                getattr(state, name), state.params, of_params, _along_seeds, mesh
            )
            for name in PLACED_LIKE_PARAMETERS
        }
        return split.replace(**placed)

    def batched(leaf: Any) -> NamedSharding:
        if leaf.ndim > axis and leaf.shape[axis] and leaf.shape[axis] % size == 0:
            return leading_sharding(mesh, axis)
        return replicated(mesh)

    def by_size(tree: PyTree, mesh: Mesh) -> PyTree:
        return parameter_sharding(tree, mesh, large=large)

    of_params = (partition or by_size)(state.params, mesh)
    fields = {}
    for name, value in _fields(state).items():
        if name in getattr(learner, "batched", BATCHED_FIELDS):
            fields[name] = jax.tree.map(batched, value)
        elif name in PLACED_LIKE_PARAMETERS:
            fields[name] = _like_parameters(value, state.params, of_params, by_size, mesh)
        else:
            fields[name] = jax.tree.map(lambda _: replicated(mesh), value)
    return state.replace(**fields)


def place_hparams(hparams: PyTree, mesh: Mesh | None, learner: Any, *, seeds: bool) -> PyTree:
    """Hyper-parameters under `hparam_sharding`; as they are without a mesh."""
    if mesh is None:
        return hparams
    return place(hparams, hparam_sharding(hparams, mesh, learner=learner, seeds=seeds))


def hparam_sharding(
    hparams: PyTree, mesh: Mesh, *, learner: Any = None, seeds: bool = False, large: int = LARGE
) -> PyTree:
    """Shardings of a learner's hyper-parameters.

    Large parameters to start from (`initial_params`) lie where those of the state will lie, by the
    learner's `partition`, else by size, and so do `frozen` weights (`learners.frozen`). Large
    `data` (`large` elements or more) is split along its leading axis over "data", where that
    divides it. All else is replicated, and everything is with `seeds`: where the leaves lead with
    an axis of seeds.
    """
    shardings = jax.tree.map(lambda _: replicated(mesh), hparams)
    placed = {}
    partition = getattr(learner, "partition", None)
    for name in ("initial_params", "frozen"):
        given = getattr(hparams, name, None)
        if not seeds and given is not None:
            placed[name] = (
                parameter_sharding(given, mesh, large=large)
                if partition is None
                else partition(given, mesh)
            )
    if "frozen" in placed:
        placed["learner"] = hparam_sharding(hparams.learner, mesh, learner=learner, large=large)
    data = jax.tree.leaves(getattr(hparams, "data", ()))
    if not seeds and sum(leaf.size for leaf in data) >= large:
        placed["data"] = jax.tree.map(
            lambda leaf: (
                leading_sharding(mesh)
                if leaf.ndim and leaf.shape[0] and leaf.shape[0] % mesh.shape["data"] == 0
                else replicated(mesh)
            ),
            hparams.data,
        )
    return shardings.replace(**placed) if placed else shardings


def _of_seeds(partition: Any, lead: str | None) -> Any:
    """A learner's `partition` for parameters with an axis of seeds in front, split over `lead`."""

    def with_seeds(params: PyTree, mesh: Mesh) -> PyTree:
        one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), params)
        return jax.tree.map(
            lambda found: NamedSharding(mesh, PartitionSpec(lead, *getattr(found, "spec", found))),
            partition(one, mesh),
            is_leaf=lambda found: isinstance(found, PartitionSpec),
        )

    return with_seeds


def _along_seeds(tree: PyTree, mesh: Mesh) -> PyTree:
    return jax.tree.map(lambda _: leading_sharding(mesh), tree)


def _like_parameters(
    tree: PyTree, params: PyTree, of_params: PyTree, by_size: Any, mesh: Mesh
) -> PyTree:
    """Shardings of a tree: subtrees that look like the parameters are placed like them."""
    structure = jax.tree.structure(params)
    shapes = [leaf.shape for leaf in jax.tree.leaves(params)]

    def alike(node: Any) -> bool:
        return (
            jax.tree.structure(node) == structure
            and [getattr(leaf, "shape", None) for leaf in jax.tree.leaves(node)] == shapes
        )

    rest = jax.tree.map(lambda node: () if alike(node) else node, tree, is_leaf=alike)
    placed = iter(jax.tree.leaves(by_size(rest, mesh)))
    return jax.tree.map(
        lambda node: of_params if alike(node) else next(placed), tree, is_leaf=alike
    )


def _fields(state: Any) -> dict[str, Any]:
    return {name: getattr(state, name) for name in state.__dataclass_fields__}


def _place_leaf(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return jax.jit(lambda value: value, out_shardings=sharding)(leaf)
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        implementation = jax.random.key_impl(leaf)
        data = _place_leaf(jax.random.key_data(leaf), sharding)
        wrap = jax.jit(
            lambda value: jax.random.wrap_key_data(value, impl=implementation),
            out_shardings=sharding,
        )
        return wrap(data)
    host = np.asarray(jnp.asarray(leaf))
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
