"""The coupled cosine basis against its definition in float64."""

import itertools

import numpy as np
import pytest

from jaxrl_rewards.networks.cosine_basis import cosine_basis


@pytest.mark.parametrize(("size", "order"), [(1, 4), (2, 3), (3, 1)])
def test_each_feature_is_the_cosine_of_its_coefficients(size, order):
    place = np.linspace(0.1, 0.9, size).astype(np.float32)
    coefficients = np.array(list(itertools.product(range(order + 1), repeat=size)), np.float64)
    expected = np.cos(np.pi * coefficients @ place.astype(np.float64))
    found = np.asarray(cosine_basis(place, order))
    assert found.dtype == np.float32 and found[0] == 1.0
    np.testing.assert_allclose(found, expected, atol=2e-6)
