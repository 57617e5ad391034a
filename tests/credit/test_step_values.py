"""Values of partial solutions: bounds, right ways, trees against plain Python, selection."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrl_rewards.credit import infer_tree_values, quality_values, route_values, select_traces


@given(seed=st.integers(0, 10**6), steps=st.integers(1, 8))
def test_values_stay_in_bounds_and_rise_evenly_along_a_right_way(seed, steps):
    random = np.random.default_rng(seed)
    distance = np.arange(steps - 1, -1, -1, dtype=np.float32)
    wrong = random.random(steps).astype(np.float32)
    values = np.asarray(quality_values(distance, wrong))
    assert np.all((values >= 0) & (values <= 1 + 1e-6))
    right = quality_values(distance, np.zeros(steps, np.float32))
    np.testing.assert_allclose(right, np.arange(1, steps + 1) / steps, rtol=1e-5)
    mask = np.asarray([1] * (steps - 1) + [0], np.float32)
    kept = np.asarray(quality_values(distance, wrong, mask))
    assert steps == 1 or kept[-1] == kept[-2]


def by_hand(parent, hit, valid):
    """Steps, right, value and sample of every node, by recursion."""
    size = len(parent)
    children = [[c for c in range(size) if parent[c] == n and valid[c]] for n in range(size)]

    def least(node):
        below = [1 + least(c) for c in children[node]]
        return min([1] * bool(hit[node] and valid[node]) + below, default=np.inf)

    m = [least(n) for n in range(size)]
    if m[0] == np.inf:
        return None
    right, value = [steps < np.inf for steps in m], [0.0] * size
    for node in range(1, size):
        if not valid[node]:
            continue
        up = parent[node]
        if m[node] == np.inf:
            m[node] = m[up]
        sign = 1 if right[node] else -1
        value[node] = max(0.0, value[up] + (1 - value[up]) * sign / m[node])
    return m, right, value


@given(seed=st.integers(0, 10**6))
def test_trees_against_plain_python(seed):
    random = np.random.default_rng(seed)
    size = 9
    parent = np.asarray([-1, *(random.integers(0, n) for n in range(1, size))], np.int32)
    valid = np.ones(size, bool)
    valid[random.integers(6, size) :] = False  # the last slots are empty
    leaf = np.asarray([not np.any((parent == n) & valid) for n in range(size)]) & valid
    hit = leaf & (random.random(size) < 0.3)
    found = jax.device_get(infer_tree_values(parent, leaf, hit, valid))
    expected = by_hand(parent, hit, valid)
    if expected is None:
        assert not found.has_sample.any() and not found.value.any()
        return
    steps, right, value = (np.asarray(x) for x in expected)
    assert np.array_equal(found.has_sample, valid & (parent >= 0))
    assert np.array_equal(found.right[valid], right[valid])
    assert np.array_equal(found.steps[valid], steps[valid])
    np.testing.assert_allclose(found.value[valid], value[valid], atol=1e-6)


def test_a_right_way_rises_to_one_in_a_batch_of_trees():
    parent = jnp.asarray([[-1, 0, 1, 2], [-1, 0, 0, 1]])
    end = jnp.asarray([[0, 0, 0, 1], [0, 0, 1, 1]], bool)
    correct = jnp.asarray([[0, 0, 0, 1], [0, 0, 0, 0]], bool)
    found = jax.vmap(infer_tree_values)(parent, end, correct)
    np.testing.assert_allclose(found.value[0], [0, 1 / 3, 2 / 3, 1], rtol=1e-6)
    assert not found.has_sample[1].any()
    route, _ = route_values(parent[0], jnp.asarray(3))
    np.testing.assert_allclose(route, [0, 1 / 3, 2 / 3, 1], rtol=1e-6)


def test_which_traces_are_kept():
    correct = np.asarray([[1, 1, 0, 1], [0, 0, 0, 0]], bool)
    value = np.asarray([[0.9, 0.5, 0.99, 0.9], [0.9] * 4])
    assert select_traces(correct, value, "answer").tolist() == correct.tolist()
    assert select_traces(correct, value, "threshold", 0.75).tolist()[0] == [
        True,
        False,
        False,
        True,
    ]
    best = select_traces(correct, value, "best")
    assert best.tolist() == [[True, False, False, False], [False] * 4]
    with pytest.raises(ValueError, match="rule 'all' is unknown"):
        select_traces(correct, value, "all")
