"""Episode statistics and running moments against plain Python and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl_rewards.rollout.normalise import (
    discounted_returns,
    init_moments,
    normalise_observation,
    standard_deviation,
    update_moments,
)
from jaxrl_rewards.rollout.statistics import init_statistics, update_statistics

T, B = 7, 3
update = jax.jit(update_statistics)
merge = jax.jit(update_moments)
returns_of = jax.jit(discounted_returns)


class Loop:
    """The same statistics, step by step."""

    def __init__(self):
        self.running, self.length = np.zeros(B), np.zeros(B, int)
        self.mean_return, self.mean_length, self.episodes = np.nan, np.nan, 0

    def add(self, reward, done):
        ended = []
        for t in range(len(reward)):
            for b in range(B):
                self.running[b] += reward[t, b]
                self.length[b] += 1
                if done[t, b]:
                    ended.append((self.running[b], self.length[b]))
                    self.running[b], self.length[b] = 0.0, 0
        if ended:
            self.mean_return, self.mean_length = np.mean(ended, axis=0)
            self.episodes += len(ended)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), rate=st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_statistics_equal_a_loop_over_several_rollouts(seed, rate):
    rng, ours, loop = np.random.default_rng(seed), init_statistics(B), Loop()
    for _ in range(4):
        reward = rng.normal(size=(T, B)).astype(np.float32)
        done = rng.random((T, B)) < rate
        ours = update(ours, reward, done)
        loop.add(reward, done)
        np.testing.assert_allclose(ours.running_return, loop.running, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(ours.running_length, loop.length)
        np.testing.assert_allclose(ours.episode_return, loop.mean_return, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(ours.episode_length, loop.mean_length, rtol=1e-5)
        assert ours.episodes == loop.episodes


def test_one_broken_reward_does_not_spoil_later_episodes():
    reward, done = np.ones((T, B), np.float32), np.zeros((T, B), bool)
    reward[1, 0], reward[2, 1] = np.nan, np.inf
    done[[3, 6]] = True
    ours = update(init_statistics(B), reward, done)
    np.testing.assert_allclose(ours.episode_return, (3 + 3 + 4 + 3 * 3) / 6, rtol=1e-6)
    assert (np.asarray(ours.running_return) == 0).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), offset=st.sampled_from([0.0, 5.0, -100.0]))
def test_moments_equal_numpy(seed, offset):
    rng = np.random.default_rng(seed)
    batches = [(offset + 3 * rng.normal(size=(T, B, 2))).astype(np.float32) for _ in range(5)]
    moments = init_moments(np.zeros(2))
    for batch in batches:
        moments = merge(moments, batch)
    everything = np.concatenate([b.reshape(-1, 2) for b in batches]).astype(np.float64)
    assert moments.count == len(everything)
    np.testing.assert_allclose(moments.mean, everything.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        standard_deviation(moments), everything.std(axis=0), rtol=1e-3, atol=1e-4
    )
    normal = normalise_observation(moments, batches[0])
    wanted = (batches[0] - everything.mean(axis=0)) / everything.std(axis=0)
    np.testing.assert_allclose(normal, np.clip(wanted, -10, 10), rtol=2e-3, atol=2e-3)


def test_moments_of_trees_of_any_shape():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(T, 2)).astype(np.float32)
    two = rng.integers(0, 255, (T, 2, 3)).astype(np.uint8)
    for batch in ((one, two), [one, two], {"a": one, "b": (two, one)}):
        example = jax.tree.map(lambda x: np.zeros(x.shape[1:]), batch)
        moments = update_moments(init_moments(example), batch)
        wanted = jax.tree.map(lambda x: x.astype(np.float64).mean(axis=0), batch)
        assert jax.tree.structure(moments.mean) == jax.tree.structure(batch)
        assert jax.tree.structure(moments.squares) == jax.tree.structure(batch)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), moments.mean, wanted)
        deviation = jax.tree.map(lambda x: x.astype(np.float64).std(axis=0), batch)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4),
            standard_deviation(moments),
            deviation,
        )


def test_broken_entries_and_constants():
    batch = np.ones((T, B, 2), np.float32)
    batch[0, 0] = [np.nan, np.inf]
    moments = merge(merge(init_moments(np.zeros(2)), np.ones((T, B, 2), np.float32)), batch)
    np.testing.assert_array_equal(moments.mean, [1.0, 1.0])
    assert np.isfinite(normalise_observation(moments, np.full(2, 1e30, np.float32))).all()
    np.testing.assert_array_equal(standard_deviation(init_moments(np.zeros(2))), [1.0, 1.0])
    np.testing.assert_allclose(standard_deviation(moments), 1e-4)


def test_discounted_returns_equal_a_loop_across_rollouts():
    rng, total, accumulator = np.random.default_rng(1), np.zeros(B), jnp.zeros(B)
    for _ in range(3):
        reward = rng.normal(size=(T, B)).astype(np.float32)
        done = rng.random((T, B)) < 0.3
        accumulator, found = returns_of(accumulator, reward, done, 0.9)
        for t in range(T):
            total = 0.9 * total + reward[t]
            np.testing.assert_allclose(found[t], total, rtol=1e-5, atol=1e-5)
            total = np.where(done[t], 0.0, total)
        np.testing.assert_allclose(accumulator, total, rtol=1e-5, atol=1e-5)
