"""Where a decoder's weights lie on a mesh."""

import jax
import pytest
from jax.sharding import PartitionSpec

from jaxrl_rewards.networks import decoder_partition as rules
from jaxrl_rewards.networks.decoder import DecoderConfig, init_decoder

CONFIG = DecoderConfig(
    vocabulary=10, width=16, layers=2, heads=4, kv_heads=2, hidden=24, tied=False, qkv_bias=True
)


class Grid:
    """The sizes of a mesh that this process has no devices for."""

    def __init__(self, **shape):
        self.shape = shape


@pytest.fixture
def places(monkeypatch):
    monkeypatch.setattr(rules, "NamedSharding", lambda mesh, spec: spec)
    shapes = jax.eval_shape(lambda key: init_decoder(key, CONFIG), jax.random.key(0))

    def find(grid, *, fsdp=False):
        tree = {"params": {"decoder": shapes, "value": {"kernel": shapes["norm"]}}}
        return rules.decoder_partition(fsdp=fsdp)(tree, grid)["params"]

    return find


def test_kernels_are_split_as_sums_ask(places):
    found = places(Grid(data=2, model=2))["decoder"]
    layers = found["layers"]
    for name in ("query", "key", "value", "gate", "up"):
        assert layers[name] == PartitionSpec(None, None, "model"), name
    for name in ("output", "down"):
        assert layers[name] == PartitionSpec(None, "model", None), name
    assert found["embedding"] == PartitionSpec("model", None)
    assert found["head"] == PartitionSpec(None, "model")
    for name in ("attention_norm", "query_bias"):
        assert layers[name] == PartitionSpec(None, None), name


def test_the_other_axis_goes_over_data(places):
    layers = places(Grid(data=2, model=2), fsdp=True)["decoder"]["layers"]
    assert layers["query"] == PartitionSpec(None, "data", "model")
    assert layers["down"] == PartitionSpec(None, "model", "data")


def test_what_does_not_divide_stays_whole(places):
    found = places(Grid(data=1, model=5), fsdp=True)
    assert found["decoder"]["embedding"] == PartitionSpec("model", None)  # 10 words
    assert found["decoder"]["layers"]["query"] == PartitionSpec(None, None, None)
    assert found["value"]["kernel"] == PartitionSpec(None)


def test_weights_under_adapters_lie_as_they_would_learn():
    from jaxrl_rewards.core.mesh import hparam_sharding, make_mesh
    from jaxrl_rewards.learners.frozen import FrozenHParams
    from jaxrl_rewards.learners.group import GroupHParams

    class Learner:
        @staticmethod
        def partition(params, mesh):
            return jax.tree.map(lambda leaf: "split", params)

    hparams = FrozenHParams(
        learner=GroupHParams(env_params=(), initial_params={"down": 1.0}), frozen={"query": 2.0}
    )
    found = hparam_sharding(hparams, make_mesh(), learner=Learner)
    assert found.frozen == {"query": "split"}
    assert found.learner.initial_params == {"down": "split"}
    assert found.learner.learning_rate != "split"
