"""Quaternions against SciPy in float64, and their values and gradients where they are delicate."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from jaxrl_rewards.core import rotations as rot

GENERATOR = np.random.default_rng(3)
SCIPY = Rotation.random(40, random_state=7)
QUATS = np.roll(SCIPY.as_quat(), 1, axis=-1)
OTHERS = np.roll(Rotation.random(40, random_state=8).as_quat(), 1, axis=-1)
VECTORS = GENERATOR.normal(size=(40, 3))
ORDERS = ["".join(order) for order in itertools.permutations("xyz")]


def _scipy(quats):
    return Rotation.from_quat(np.roll(quats, -1, axis=-1))


def test_products_turns_and_matrices_agree_with_scipy():
    product = _scipy(rot.quat_multiply(QUATS, OTHERS))
    assert (product.inv() * (SCIPY * _scipy(OTHERS))).magnitude().max() < 1e-12
    np.testing.assert_allclose(rot.quat_rotate(QUATS, VECTORS), SCIPY.apply(VECTORS), atol=1e-12)
    np.testing.assert_allclose(
        rot.quat_inverse_rotate(QUATS, VECTORS), SCIPY.inv().apply(VECTORS), atol=1e-12
    )
    matrix = SCIPY.as_matrix()
    np.testing.assert_allclose(rot.quat_to_matrix(QUATS), matrix, atol=1e-12)
    six = rot.quat_to_rot6d(QUATS)
    np.testing.assert_allclose(six, np.concatenate([matrix[..., 0], matrix[..., 1]], -1))
    yaw = np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0])
    np.testing.assert_allclose(rot.heading_yaw(QUATS), yaw, atol=1e-12)


def test_rotation_vectors_agree_with_scipy_and_round_trip():
    np.testing.assert_allclose(rot.quat_to_rotvec(QUATS), SCIPY.as_rotvec(), atol=1e-12)
    np.testing.assert_allclose(rot.quat_to_rotvec(-QUATS), SCIPY.as_rotvec(), atol=1e-12)
    np.testing.assert_allclose(rot.quat_angle(-QUATS), SCIPY.magnitude(), atol=1e-12)
    tiny = 1e-6 * VECTORS
    np.testing.assert_allclose(rot.quat_to_rotvec(rot.quat_from_rotvec(tiny)), tiny, rtol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_euler_angles_agree_with_scipy_and_survive_the_lock(order):
    np.testing.assert_allclose(
        rot.quat_to_euler(QUATS, order), SCIPY.as_euler(order.upper()), atol=1e-9
    )
    locked = GENERATOR.uniform(-3, 3, (20, 3))
    locked[:, 1] = np.where(np.arange(20) % 2, 0.5, -0.5) * np.pi
    quats = rot.quat_from_euler(locked, order)
    again = rot.quat_from_euler(rot.quat_to_euler(quats, order), order)
    # The arcsine of 1 - 1e-16 is 1e-8 off.
    assert rot.quat_angle_between(quats, again).max() < 1e-7


def test_slerp_takes_the_short_way_at_constant_speed():
    between = rot.quat_slerp(QUATS, -OTHERS, np.full(40, 0.25))
    whole = rot.quat_angle_between(QUATS, OTHERS)
    np.testing.assert_allclose(rot.quat_angle_between(QUATS, between), 0.25 * whole, atol=1e-9)
    np.testing.assert_allclose(rot.quat_angle_between(between, OTHERS), 0.75 * whole, atol=1e-9)


def test_smallest_rotation_between_directions():
    targets = GENERATOR.normal(size=(40, 3))
    quats = rot.quat_between(VECTORS, targets)
    turned = rot.quat_rotate(quats, VECTORS)
    unit = lambda v: v / np.linalg.norm(v, axis=-1, keepdims=True)  # noqa: E731
    np.testing.assert_allclose(unit(turned), unit(targets), atol=1e-9)
    angle = np.arccos(np.clip((unit(VECTORS) * unit(targets)).sum(-1), -1, 1))
    np.testing.assert_allclose(rot.quat_angle(quats), angle, atol=1e-7)
    for axis in np.eye(3):
        flipped = rot.quat_rotate(rot.quat_between(axis, -axis), axis)
        np.testing.assert_allclose(flipped, -axis, atol=1e-12)
    np.testing.assert_array_equal(rot.quat_between(np.zeros(3), VECTORS[0]), [1, 0, 0, 0])


def test_a_vertical_x_axis_has_yaw_zero():
    for pitch in (np.pi / 2, -np.pi / 2):
        for roll in (0.0, 1.0):
            quat = rot.quat_from_euler(np.array([pitch, roll]), "yx")
            assert abs(rot.heading_yaw(quat.astype(np.float32))) < 1e-6


SINGULAR = {
    "identity": [1.0, 0, 0, 0],
    "minus identity": [-1.0, 0, 0, 0],
    "zero": [0.0, 0, 0, 0],
    "half turn": [0.0, 1.0, 0, 0],
    "x up": [np.sqrt(0.5), 0, -np.sqrt(0.5), 0],
}


@jax.jit
def _everything(quat):
    """A number that depends on every function of one quaternion."""
    unit = rot.quat_normalise(quat)
    parts = [
        rot.quat_angle(quat),
        rot.quat_to_rotvec(unit),
        rot.quat_from_rotvec(quat[1:]),
        rot.heading_quat(unit),
        rot.quat_to_euler(unit, "yxz"),
        rot.quat_slerp(unit, unit, 0.3),
        rot.quat_between(quat[:3], quat[1:]),
        rot.twist_angle(unit, jnp.array([0.0, 0.0, 1.0])),
        rot.quat_angle_between(unit, unit),
    ]
    return sum(jnp.sum(part) for part in parts)


@pytest.mark.parametrize("name", SINGULAR)
def test_values_and_gradients_are_finite_where_it_is_delicate(name):
    quat = jnp.asarray(SINGULAR[name], jnp.float32)
    value, gradient = _VALUE_AND_GRADIENT(quat)
    assert np.isfinite(value) and np.isfinite(gradient).all()


_VALUE_AND_GRADIENT = jax.jit(jax.value_and_grad(_everything))


def test_numpy_stays_numpy_and_jax_agrees():
    both = rot.quat_rotate(QUATS, VECTORS), rot.quat_rotate(jnp.asarray(QUATS), VECTORS)
    assert isinstance(both[0], np.ndarray) and both[0].dtype == np.float64
    assert isinstance(both[1], jax.Array) and both[1].dtype == jnp.float32
    np.testing.assert_allclose(*both, atol=1e-5)
    with pytest.raises(ValueError, match="Euler order 'xq'"):
        rot.quat_from_euler(VECTORS[:, :2], "xq")
    with pytest.raises(ValueError, match="Euler order 'xyx'"):
        rot.quat_to_euler(QUATS, "xyx")
