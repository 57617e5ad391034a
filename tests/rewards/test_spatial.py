"""Box rewards against float64 NumPy, their invariants, traps, gradients and classes."""

import types

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

from jaxrl_rewards.rewards import spatial

GT = np.array([100.0, 200.0, 140.0, 220.0], np.float32)
ALL = {
    "point": spatial.gaussian_point_reward,
    "coverage": spatial.gaussian_coverage_reward,
    "coverage_safe": spatial.gaussian_coverage_reward_safe,
    "inside": spatial.inside_gaussian_reward,
    "fixed": spatial.fixed_variance_reward,
    "hit": spatial.point_binary_reward,
    "iou": spatial.iou,
    "iou_hit": spatial.iou_binary_reward,
    "distance": spatial.distance_reward,
}
VALUE_AND_GRAD = {
    name: jax.jit(jax.value_and_grad(lambda p, g, f=f: f(p, g), (0, 1))) for name, f in ALL.items()
}

coordinate = st.floats(-50, 1000, width=32)
extent = st.floats(0.25, 500, width=32)
boxes = st.tuples(coordinate, coordinate, extent, extent).map(
    lambda b: np.array([b[0], b[1], b[0] + b[2], b[1] + b[3]], np.float32)
)
anything = st.lists(
    st.floats(width=32) | st.sampled_from([0.0, 1e-20, 1e-7, 1.0, 1e6, 1e20]),
    min_size=4,
    max_size=4,
).map(lambda b: np.array(b, np.float32))


def reference(pred, gt, alpha=0.5, eps=1e-8):
    """Point and coverage rewards by matrices in float64."""
    pred, gt = np.float64(pred), np.float64(gt)
    d = (pred[:2] + pred[2:] - gt[:2] - gt[2:]) / 2
    size_p, size_g = alpha * (pred[2:] - pred[:2]), alpha * (gt[2:] - gt[:2])
    point = np.exp(-0.5 * np.sum((d / size_g) ** 2))
    cov_p, cov_g = np.diag(size_p**2), np.diag(size_g**2)
    mean = (cov_p + cov_g) / 2
    determinant = np.linalg.det(cov_p) * np.linalg.det(cov_g)
    distance = d @ np.linalg.inv(mean + eps * np.eye(2)) @ d / 8
    distance += 0.5 * np.log(np.linalg.det(mean) / np.sqrt(determinant + eps))
    return point, np.exp(-distance)


@given(boxes, boxes, st.sampled_from([0.25, 0.5, 1.0]))
def test_gaussians_equal_float64_matrices(pred, gt, alpha):
    point, coverage = reference(pred, gt, alpha)
    got = spatial.gaussian_point_reward(pred, gt, alpha)
    # The centres are differences of float32 coordinates: allow for their rounding.
    np.testing.assert_allclose(got, point, rtol=2e-4, atol=1e-5)
    got = spatial.gaussian_coverage_reward(pred, gt, alpha)
    np.testing.assert_allclose(got, coverage, rtol=2e-4, atol=1e-5)
    safe = reference(pred, gt, alpha, eps=0.0)[1]
    np.testing.assert_allclose(
        spatial.gaussian_coverage_reward_safe(pred, gt, alpha), safe, rtol=2e-4, atol=1e-5
    )


@given(boxes, boxes, st.sampled_from([2.0**-12, 0.125, 8.0, 1024.0]))
def test_scale_free_form_is_scale_free_symmetric_and_bounded(pred, gt, scale):
    value = spatial.gaussian_coverage_reward_safe(pred, gt)
    assert 0.0 <= value <= 1.0
    scaled = spatial.gaussian_coverage_reward_safe(pred * scale, gt * scale)
    np.testing.assert_allclose(scaled, value, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(
        spatial.gaussian_coverage_reward_safe(gt, pred), value, rtol=1e-5, atol=1e-7
    )
    assert spatial.gaussian_coverage_reward_safe(gt, gt) == 1.0


def test_published_landmarks():
    centre, width, height = np.array([120.0, 210.0]), 40.0, 20.0
    at = lambda dx, dy: float(spatial.gaussian_point_at(centre + [dx, dy], GT))  # noqa: E731
    np.testing.assert_allclose(at(0, 0), 1.0)
    np.testing.assert_allclose(at(width / 2, 0), np.exp(-0.5), rtol=1e-6)
    np.testing.assert_allclose(at(width / 2, height / 2), np.exp(-1.0), rtol=1e-6)
    np.testing.assert_allclose(spatial.combined_reward(1.0, 0.5, 0.8, 0.2), 0.9, rtol=1e-6)


def test_fixed_epsilon_with_normalised_coordinates_is_the_known_trap():
    pred = np.array([0.58, 0.016, 0.63, 0.045])
    gt = np.array([0.584375, 0.0166666667, 0.628125, 0.0444444444])
    np.testing.assert_allclose(
        spatial.gaussian_coverage_reward(pred, gt), 29.974526165494034, rtol=1e-5
    )
    np.testing.assert_allclose(
        spatial.gaussian_coverage_reward_safe(pred, gt), 0.9947500725496754, rtol=1e-6
    )


@pytest.mark.parametrize("name", ["point", "coverage", "coverage_safe", "inside", "fixed", "iou"])
def test_reversed_corners_earn_nothing(name):
    for box in (GT[[2, 1, 0, 3]], GT[[0, 3, 2, 1]], GT[[2, 3, 0, 1]]):
        assert ALL[name](box, GT) == 0.0
    assert spatial.gaussian_point_reward(GT[[2, 3, 0, 1]], GT, strict=False) == 1.0
    assert spatial.gaussian_coverage_reward(GT[[2, 3, 0, 1]], GT, strict=False) == 1.0
    assert spatial.point_binary_reward(GT[[2, 3, 0, 1]], GT, strict=False) == 1.0


def test_boxes_without_area():
    dot = np.array([120.0, 210.0, 120.0, 210.0], np.float32)
    assert spatial.gaussian_point_reward(dot, GT) == 1.0
    # det S = (20² / 2) (10² / 2), so the value is det S^(-1/2) eps^(1/4) = 1e-4.
    np.testing.assert_allclose(spatial.gaussian_coverage_reward(dot, GT), 1e-4, rtol=1e-5)
    assert spatial.gaussian_coverage_reward_safe(dot, GT) == 0.0
    for name in ("point", "coverage", "coverage_safe", "iou", "inside"):
        assert ALL[name](GT, dot) == 0.0, name
        assert ALL[name](dot, dot) == 0.0, name


@pytest.mark.parametrize("name", sorted(ALL))
@given(pred=anything, gt=anything)
def test_values_and_gradients_are_finite_for_any_boxes(name, pred, gt):
    value, gradients = VALUE_AND_GRAD[name](pred, gt)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(g)) for g in gradients)


PARAMETER_GRADIENT = jax.jit(
    jax.grad(
        lambda p, pred, gt: (
            spatial.combined_reward(
                spatial.gaussian_point_reward(pred, gt, p["alpha"]),
                spatial.gaussian_coverage_reward(pred, gt, p["alpha"]),
                p["nu"],
                p["gamma"],
            )
            + spatial.inside_gaussian_reward(pred, gt, p["alpha"], p["nu"], p["gamma"])
            + spatial.fixed_variance_reward(pred, gt, p["sigma"])
        )
    )
)


@given(anything, anything | st.just(GT), st.sampled_from([0.0, 1e-30, 0.5, 3.0]))
def test_parameter_gradients_are_finite(pred, gt, number):
    params = {name: jnp.float32(number) for name in ("alpha", "nu", "gamma", "sigma")}
    gradient = PARAMETER_GRADIENT(params, pred, gt)
    assert all(np.isfinite(g) for g in jax.tree.leaves(gradient))


GAUSSIANS = (spatial.gaussian_point_reward, spatial.gaussian_coverage_reward)
GAUSSIAN_GRADIENTS = [jax.jit(jax.grad(f, (0, 2))) for f in GAUSSIANS]


@given(boxes, st.sampled_from([0.5, 0.9]))
def test_gradients_equal_finite_differences(pred, alpha):
    gt = np.array([pred[0] + 3, pred[1] - 2, pred[2] + 5, pred[3] + 4], np.float32)
    step = 1e-4
    for i, gradient in enumerate(GAUSSIAN_GRADIENTS):
        by_box, by_alpha = gradient(pred, gt, jnp.float32(alpha))
        up, down = reference(pred, gt, alpha + step)[i], reference(pred, gt, alpha - step)[i]
        np.testing.assert_allclose(by_alpha, (up - down) / 2 / step, rtol=2e-3, atol=1e-4)
        for k in range(4):
            shift = np.eye(4)[k] * 1e-3
            up, down = reference(pred + shift, gt, alpha)[i], reference(pred - shift, gt, alpha)[i]
            np.testing.assert_allclose(by_box[k], (up - down) / 2e-3, rtol=5e-3, atol=1e-4)


@given(boxes, boxes)
def test_baselines_equal_float64(pred, gt):
    p, g = np.float64(pred), np.float64(gt)
    overlap = np.prod(np.maximum(np.minimum(p[2:], g[2:]) - np.maximum(p[:2], g[:2]), 0))
    union = np.prod(p[2:] - p[:2]) + np.prod(g[2:] - g[:2]) - overlap
    np.testing.assert_allclose(spatial.iou(pred, gt), overlap / union, rtol=1e-4, atol=1e-6)
    distance = np.linalg.norm((p[:2] + p[2:] - g[:2] - g[2:]) / 2)
    np.testing.assert_allclose(
        spatial.distance_reward(pred, gt, 2.0), -distance / 2, rtol=1e-5, atol=1e-3
    )
    hit = spatial.point_binary_reward(pred, gt)
    inside = spatial.inside_gaussian_reward(pred, gt)
    total = spatial.gaussian_point_reward(pred, gt) + spatial.gaussian_coverage_reward_safe(
        pred, gt
    )
    np.testing.assert_allclose(inside, hit * total, rtol=1e-5, atol=1e-6)
    square = distance**2 / 25.0
    np.testing.assert_allclose(
        spatial.fixed_variance_reward(pred, gt, 5.0),
        np.exp(-square / 2) + np.exp(-square / 8),
        rtol=1e-3,
        atol=1e-4,
    )


def test_the_border_counts_as_inside_and_the_threshold_does_not():
    at = lambda x, y: np.array([x - 2, y - 2, x + 2, y + 2], np.float32)  # noqa: E731
    assert spatial.point_binary_reward(at(140.0, 220.0), GT) == 1.0
    assert spatial.point_binary_reward(at(140.5, 220.0), GT) == 0.0
    half = np.array([100.0, 200.0, 120.0, 220.0], np.float32)
    assert spatial.iou(half, GT) == 0.5
    assert spatial.iou_binary_reward(half, GT) == 0.0
    assert spatial.iou_binary_reward(half, GT, 0.4) == 1.0


@pytest.mark.slow
def test_broadcasting_jit_and_vmap_agree():
    pred = jnp.asarray(GT) + jnp.arange(12.0).reshape(3, 1, 4)
    gt = jnp.asarray(GT) + jnp.arange(8.0).reshape(2, 4)
    for function in ALL.values():
        broadcast = function(pred, gt)
        assert broadcast.shape == (3, 2) and broadcast.dtype == jnp.float32
        mapped = jax.jit(jax.vmap(lambda p, f=function: jax.vmap(lambda g: f(p[0], g))(gt)))(pred)
        np.testing.assert_allclose(mapped, broadcast, rtol=1e-6)
    alphas = jnp.asarray([0.25, 0.5])
    assert spatial.gaussian_point_reward(pred, gt, alphas).shape == (3, 2)
    assert spatial.gaussian_coverage_reward(pred, gt, alphas).shape == (3, 2)


@pytest.mark.slow
def test_reward_classes_are_data():
    nxt = types.SimpleNamespace(pred_box=jnp.asarray(GT) + 3.0, target_box=jnp.asarray(GT))
    classes = [
        spatial.GaussianPoint(),
        spatial.GaussianCoverage(),
        spatial.InsideGaussian(),
        spatial.FixedVariance(),
        spatial.PointHit(),
        spatial.BoxIoU(),
        spatial.IoUHit(),
        spatial.Distance(),
    ]
    total = sum((1.0 * c for c in classes[1:]), 1.0 * classes[0])
    assert len(set(total.names)) == len(classes)
    value, terms = total(None, None, nxt)
    np.testing.assert_allclose(value, sum(terms.values()), rtol=1e-6)
    np.testing.assert_allclose(
        terms["gaussian_point"], spatial.gaussian_point_reward(nxt.pred_box, GT)
    )
    assert all(leaf.dtype == jnp.float32 and not leaf.weak_type for leaf in jax.tree.leaves(total))
    gradient = jax.grad(lambda r: r(None, None, nxt)[0])(total)
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(gradient))
    widths = jax.vmap(lambda a: spatial.GaussianPoint(alpha=a)(None, None, nxt)[0])(
        jnp.asarray([0.25, 0.5, 1.0])
    )
    assert np.all(np.diff(widths) > 0)
