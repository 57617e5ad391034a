"""Permutations without sorting: bijective for every size, and close to uniform."""

import jax
import numpy as np
import pytest
import scipy.stats

from jaxrl_rewards.learners.shuffle import random_permutation

KEYS = 6000
SIGNIFICANCE = 1e-4


def permutations(n, keys=KEYS, seed=0):
    function = jax.jit(jax.vmap(lambda key: random_permutation(key, n)))
    return np.asarray(function(jax.random.split(jax.random.key(seed), keys)))


def chi_square(counts):
    """p-value of equal expected counts."""
    return scipy.stats.chisquare(counts.ravel()).pvalue


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 17, 64, 65, 257, 512, 4096, 8192])
def test_every_size_is_permuted(n):
    found = permutations(n, keys=8)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(n), (8, 1)))
    if n >= 16:
        assert len({row.tobytes() for row in found}) == 8


@pytest.mark.parametrize("n", [8, 13, 32])
def test_positions_and_adjacent_pairs_are_near_uniform(n):
    found = permutations(n)
    positions = np.zeros((n, n))
    np.add.at(positions, (np.arange(n)[None].repeat(KEYS, 0), found), 1)
    # Rows and columns are fixed to the number of keys: (n − 1)² free counts.
    statistic = ((positions - KEYS / n) ** 2 / (KEYS / n)).sum()
    assert scipy.stats.chi2.sf(statistic * (n - 1) / n, (n - 1) ** 2) > SIGNIFICANCE
    pairs = np.zeros((n, n))
    np.add.at(pairs, (found[:, 0], found[:, 1]), 1)
    assert (np.diag(pairs) == 0).all()
    assert chi_square(pairs[~np.eye(n, dtype=bool)]) > SIGNIFICANCE


def test_all_permutations_of_three_and_of_four_occur_equally_often():
    for n, count in ((3, 6), (4, 24)):
        _, counts = np.unique(permutations(n, seed=1), axis=0, return_counts=True)
        assert len(counts) == count and chi_square(counts) > SIGNIFICANCE


@pytest.mark.slow
def test_eager_jit_and_vmap_agree():
    keys = jax.random.split(jax.random.key(2), 3)
    single = jax.jit(lambda key: random_permutation(key, 17))
    lifted = jax.vmap(single)(keys)
    for key, row in zip(keys, lifted, strict=True):
        np.testing.assert_array_equal(single(key), row)
    np.testing.assert_array_equal(random_permutation(keys[0], 17), lifted[0])


def test_no_element_is_refused():
    with pytest.raises(ValueError, match="n >= 1, got 0"):
        random_permutation(jax.random.key(0), 0)


def test_uneven_halves_mix_as_evenly():
    """From 512 on a power of two with an odd number of bits has halves of two widths."""
    found = permutations(512, keys=3000)
    for column in (0, 1, 255, 511):
        counts = np.bincount(found[:, column] // 32, minlength=16)
        assert chi_square(counts) > SIGNIFICANCE
    steps = (found[:, 1:] - found[:, :-1]) % 512  # never 0
    counts = np.bincount(steps.ravel() // 32, minlength=16)
    expected = steps.size * np.array([31] + [32] * 15) / 511
    assert np.abs(counts / expected - 1).max() < 0.02
