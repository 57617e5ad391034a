"""Calls to the host: results in place or by copies, and several devices at once."""

import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.physics import host_call

SHAPES = (jax.ShapeDtypeStruct((2,), np.float32), jax.ShapeDtypeStruct((), np.int32))


def halves(x, y, sums, count):
    sums[..., 0], sums[..., 1] = x.sum(-1), y.sum(-1)
    count[...] = x.shape[-1]


def zeros(x):
    return tuple(jnp.zeros(shape.shape, shape.dtype) for shape in SHAPES)


@pytest.mark.parametrize("in_place", [True, False])
def test_nested_vmap_and_scan_give_the_host_the_whole_batch(in_place, monkeypatch):
    if in_place:  # the other way would call nobody
        assert host_call.buffer_callback is not None, "this jax has moved it: see host_call"
        monkeypatch.setattr(host_call, "_by_copies", lambda host, shapes, x, y: zeros(x))
    else:
        monkeypatch.setattr(host_call, "buffer_callback", None)
    seen = []

    def host(*arrays):
        seen.append(arrays[0].shape)
        halves(*arrays)

    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    y = np.ones((4, 2), np.float32)
    call = lambda x, y: host_call.call_host(host, SHAPES, x, y)  # noqa: E731
    both = jax.vmap(jax.vmap(call), (0, None))
    _, (sums, count) = jax.jit(
        lambda x: jax.lax.scan(lambda carry, _: (carry, both(x, y)), 0, None, length=2)
    )(x)
    np.testing.assert_allclose(sums[1, ..., 0], x.sum(-1), rtol=1e-5)
    np.testing.assert_array_equal(sums[..., 1], 2.0)
    assert sums.shape == (2, 3, 4, 2) and (np.asarray(count) == 5).all()
    assert set(seen) == {(3, 4, 5)}


def test_an_error_of_the_host_is_raised():
    def host(*arrays):
        raise RuntimeError("the host has a reason")

    with pytest.raises(Exception, match="the host has a reason"):
        jax.block_until_ready(
            jax.jit(lambda x: host_call.call_host(host, SHAPES, x, x))(jnp.ones(3))
        )


@pytest.mark.slow
def test_two_devices_call_at_once_and_do_not_wait_for_each_other():
    """With two threads, arrays of jax in the calls would wait for threads that wait for them."""
    program = """
        import jax, numpy as np
        from jax.sharding import Mesh, PartitionSpec as P
        from jaxrl_envs.registry import make
        world = make("retarget")
        params = world.default_params()
        mesh = Mesh(np.array(jax.devices()), ("worlds",))
        def steps(keys):
            state, _ = jax.vmap(world.reset, (0, None))(keys, params)
            def step(state, _):
                action = jax.numpy.zeros((keys.shape[0], *world.spec.action_space.shape))
                return jax.vmap(world.step, (0, 0, 0, None))(keys, state, action, params)
            return jax.lax.scan(step, state, None, length=40)[1].reward
        both = jax.jit(jax.shard_map(
            steps, mesh=mesh, in_specs=P("worlds"), out_specs=P(None, "worlds"), check_vma=False))
        keys = jax.random.split(jax.random.key(0), 256)
        one = jax.jit(steps)(keys)
        np.testing.assert_allclose(np.asarray(both(keys)), np.asarray(one), atol=1e-5)
        print("done", len(jax.devices()))
    """
    set_ = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "2", "PJRT_NPROC": "2",
            "JAXRL_REWARDS_PHYSICS": "c"}  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=os.environ | set_,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.stdout.strip() == "done 2", result.stderr[-2000:]
