"""Supervised learners: the least squares solution, sweeps, what is refused, the runner."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.learners import FitHParams, make_fit, rows
from jaxrl_rewards.learners.fit import whole
from jaxrl_rewards.train import run

X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5]) + 0.3).astype(np.float32)
DATA = {"x": jnp.asarray(X), "y": jnp.asarray(Y)}


def init(key):
    return {"w": 0.1 * jax.random.normal(key, (3,), jnp.float32), "b": jnp.zeros((), jnp.float32)}


def squares(params, batch, hparams):
    error = batch["x"] @ params["w"] + params["b"] - batch["y"]
    return jnp.mean(jnp.square(error)), {"worst": jnp.max(jnp.abs(error))}


def test_it_finds_the_least_squares_solution_and_sweeps_rates_in_one_compile():
    learner = make_fit(init, squares, whole(), data=DATA, batch_size=64, steps_per_update=50)
    assert learner.act is None and learner.samples_per_update == 3200
    hparams = learner.hparams.replace(learning_rate=jnp.asarray([0.05, 0.0]))
    axes = jax.tree.map(lambda _: None, hparams).replace(learning_rate=0)

    def fitted(hparams):
        state = learner.init(jax.random.key(0), hparams)
        return jax.lax.scan(lambda s, _: learner.update(s, hparams), state, None, 12)

    state, metrics = jax.jit(jax.vmap(fitted, in_axes=(axes,)))(hparams)
    np.testing.assert_allclose(state.params["w"][0], [1.0, -2.0, 0.5], atol=1e-3)
    np.testing.assert_allclose(state.params["b"][0], 0.3, atol=1e-3)
    assert float(metrics["loss"][0, -1]) < 1e-5 < float(metrics["loss"][1, -1])
    assert set(metrics) == {"loss", "worst", "grad_norm", "skipped"}


def test_data_are_arguments_and_broken_batches_are_refused():
    learner = make_fit(init, squares, rows(8), data=DATA)
    state = learner.init(jax.random.key(0), learner.hparams)
    constants = jax.make_jaxpr(learner.update)(state, learner.hparams).consts
    assert sum(np.asarray(c).nbytes for c in constants) < 200
    bad = learner.hparams.replace(data={**DATA, "y": DATA["y"] * jnp.nan})
    new, metrics = jax.jit(learner.update)(state, bad)
    for old, kept in zip(jax.tree.leaves(state.params), jax.tree.leaves(new.params), strict=True):
        np.testing.assert_array_equal(old, kept)
    assert int(new.skipped) == 1 == int(metrics["skipped"])
    for wrong in (dict(steps_per_update=0),):
        with pytest.raises(ValueError, match="steps_per_update must be at least 1"):
            make_fit(init, squares, rows(8), **wrong)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        rows(0)


def test_weight_decay_shrinks_by_rate_times_decay():
    hparams = FitHParams(data=DATA, learning_rate=0.1, weight_decay=0.5)
    flat = make_fit(init, lambda p, b, h: (jnp.float32(0.0) * jnp.sum(p["w"]), {}), whole())
    state = flat.init(jax.random.key(0), hparams)
    new, _ = flat.update(state, hparams)
    np.testing.assert_allclose(new.params["w"], 0.95 * state.params["w"], rtol=1e-6)


def test_the_runner_trains_it_over_seeds():
    learner = make_fit(init, squares, rows(16), data=DATA, steps_per_update=50)
    result = run(
        learner, key=jax.random.key(0), total_updates=4, chunk_updates=2, num_seeds=2,
        progress=False,
    )  # fmt: skip
    assert result.history["loss"].shape == (2, 2)
    assert (result.history["loss"][1] < result.history["loss"][0]).all()
