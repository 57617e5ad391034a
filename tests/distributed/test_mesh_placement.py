"""Placement on a mesh of one device; several devices are tried in tests/distributed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from jaxrl_rewards.core import mesh as meshes
from jaxrl_rewards.learners import LearnerState, seed_axes
from jaxrl_rewards.learners.fit import FitHParams
from jaxrl_rewards.learners.group import GroupHParams
from jaxrl_rewards.learners.optimise import adam
from tests.train.toys import BATCH, make_regression


class Grid:
    """The sizes of a mesh that this process has no devices for."""

    def __init__(self, **shape):
        self.shape = shape


@pytest.fixture
def specs(monkeypatch):
    """Shardings as their bare specs, so that sizes beyond the machine's can be asked for."""
    monkeypatch.setattr(meshes, "NamedSharding", lambda mesh, spec: spec)


def shaped(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_sizes_are_checked():
    mesh = meshes.make_mesh()
    assert mesh.axis_names == ("data", "model")
    assert dict(mesh.shape) == {"data": jax.device_count(), "model": 1}
    with pytest.raises(ValueError, match="needs 64 devices"):
        meshes.make_mesh(data=32, model=2)
    with pytest.raises(ValueError, match="must be at least 1"):
        meshes.make_mesh(model=0)
    with pytest.raises(ValueError, match="model=3 does not divide"):
        meshes.make_mesh(model=3)


def test_values_and_keys_are_placed():
    mesh = meshes.make_mesh()
    tree = {"a": np.arange(4.0), "key": jax.random.split(jax.random.key(0), 4)}
    for placed in (meshes.shard_leading(tree, mesh), meshes.replicate(tree, mesh)):
        np.testing.assert_array_equal(placed["a"], tree["a"])
        assert (placed["key"] == tree["key"]).all()
    with pytest.raises(ValueError, match=r"\['b'\] of shape \(\) cannot be split"):
        meshes.shard_leading({"b": 1.0}, mesh)


def test_small_parameters_are_replicated_and_large_ones_split(specs):
    params = {"wide": shaped(6, 1024), "odd": shaped(7, 9), "scalar": shaped()}
    grid = Grid(data=2, model=4)
    small = meshes.parameter_sharding(params, grid)
    assert set(small.values()) == {PartitionSpec()}
    large = meshes.parameter_sharding(params, grid, large=100)
    assert large["wide"] == PartitionSpec(None, "model")
    assert large["odd"] == large["scalar"] == PartitionSpec()
    alone = meshes.parameter_sharding(params, Grid(data=8, model=1), large=100)
    assert set(alone.values()) == {PartitionSpec()}


def test_worlds_and_seeds_go_over_data(specs):
    learner = make_regression()
    one = jax.eval_shape(learner.init, jax.random.key(0), learner.hparams)
    found = meshes.state_sharding(one, Grid(data=4, model=1))
    assert found.env_state == {"inputs": PartitionSpec("data"), "count": PartitionSpec()}
    assert found.statistics == {"errors": PartitionSpec("data")}
    assert found.params["first"] == found.key == PartitionSpec()
    uneven = meshes.state_sharding(one, Grid(data=BATCH - 1, model=1))
    assert uneven.env_state["inputs"] == PartitionSpec()

    def seeds(count):
        keys = jax.random.split(jax.random.key(0), count)
        init = jax.vmap(learner.init, in_axes=(0, None), out_axes=seed_axes())
        return jax.eval_shape(init, keys, learner.hparams)

    split = meshes.state_sharding(seeds(8), Grid(data=4, model=1), num_seeds=8)
    assert split.step == PartitionSpec()
    rest = split.replace(step=())
    assert set(jax.tree.leaves(rest, is_leaf=lambda x: isinstance(x, PartitionSpec))) == {
        PartitionSpec("data")
    }
    inner = meshes.state_sharding(seeds(3), Grid(data=4, model=1), num_seeds=3)
    assert inner.env_state["inputs"] == PartitionSpec(None, "data")
    assert inner.params["first"] == PartitionSpec()


def test_moments_and_teachers_are_placed_like_parameters_and_replay_is_not(specs):
    """What belongs to a parameter lies where the parameter lies."""
    params = {"wide": shaped(64, 64), "odd": shaped(7)}
    opt_state = jax.eval_shape(adam().init, {"wide": jnp.zeros((64, 64)), "odd": jnp.zeros(7)})
    state = LearnerState(
        params=params, opt_state=opt_state,
        models={"reference": params, "judge": {"big": shaped(64, 128)}, "small": shaped(3)},
        memory={"obs": shaped(1000, 64)}, normaliser=shaped(4), skipped=shaped(), key=shaped(),
        step=shaped(),
    )  # fmt: skip
    grid = Grid(data=2, model=2)
    found = meshes.state_sharding(state, grid, large=4000)
    split = PartitionSpec("model")
    assert found.params["wide"] == split and found.params["odd"] == PartitionSpec()
    assert found.opt_state.mu == found.opt_state.nu == found.params
    assert found.models["reference"] == found.params
    assert found.models["judge"]["big"] == PartitionSpec(None, "model")
    assert found.memory["obs"] == found.normaliser == PartitionSpec()

    class Own:
        batched = ("memory",)

        @staticmethod
        def partition(tree, mesh):
            return {"wide": PartitionSpec(None, "model"), "odd": PartitionSpec("model")}

    own = meshes.state_sharding(state, grid, learner=Own, large=4000)
    assert own.params["wide"] == PartitionSpec(None, "model") == own.opt_state.mu["wide"]
    assert own.models["reference"]["odd"] == PartitionSpec("model")
    assert own.memory["obs"] == PartitionSpec("data")


class Placing:
    """A learner that says itself where its parameters lie."""

    batched = ()

    @staticmethod
    def partition(tree, mesh):
        assert tree["wide"].shape == (64, 64), "it sees one seed's parameters"
        return {"wide": PartitionSpec(None, "model"), "odd": PartitionSpec()}


@pytest.mark.parametrize("seeds, lead", [(4, "data"), (3, None)])
def test_a_learner_places_its_parameters_with_seeds_too(specs, seeds, lead):
    params = {"wide": shaped(seeds, 64, 64), "odd": shaped(seeds, 7)}
    one = {"wide": jnp.zeros((64, 64)), "odd": jnp.zeros(7)}
    moments = jax.eval_shape(
        jax.vmap(adam().init), jax.tree.map(lambda x: jnp.stack([x] * seeds), one)
    )
    state = LearnerState(
        params=params, opt_state=moments, models={"reference": params}, skipped=shaped(seeds),
        key=shaped(seeds), step=shaped(),
    )  # fmt: skip
    found = meshes.state_sharding(state, Grid(data=2, model=2), learner=Placing, num_seeds=seeds)
    assert found.params["wide"] == PartitionSpec(lead, None, "model")
    assert found.opt_state.mu == found.opt_state.nu == found.params == found.models["reference"]
    assert found.params["odd"] == PartitionSpec(lead) and found.step == PartitionSpec()
    assert found.key == (PartitionSpec() if lead is None else PartitionSpec("data"))


def test_large_parameters_to_start_from_and_data_are_not_copied_to_every_device(specs):
    numbers = GroupHParams(env_params=(), initial_params={"wide": shaped(64, 64), "odd": shaped(7)})
    grid = Grid(data=2, model=2)
    assert meshes.hparam_sharding(numbers, grid).initial_params["wide"] == PartitionSpec()
    found = meshes.hparam_sharding(numbers, grid, large=4000)
    assert found.initial_params == {"wide": PartitionSpec("model"), "odd": PartitionSpec()}
    own = meshes.hparam_sharding(numbers, grid, learner=Placing)
    assert own.initial_params["wide"] == PartitionSpec(None, "model")
    swept = meshes.hparam_sharding(numbers, grid, learner=Placing, seeds=True)
    assert swept.initial_params["wide"] == PartitionSpec()
    fit = FitHParams(data={"rows": shaped(100, 64), "odd": shaped(7)}, learning_rate=shaped())
    assert meshes.hparam_sharding(fit, grid).data["rows"] == PartitionSpec()
    split = meshes.hparam_sharding(fit, grid, large=4000)
    assert split.data == {"rows": PartitionSpec("data"), "odd": PartitionSpec()}
    assert split.learning_rate == PartitionSpec()
