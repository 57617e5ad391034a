"""The pure functions of retargeting: mapping, sensors, contact, termination, metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxrl_envs.retarget.contact import early_termination, reference_contact_labels
from jaxrl_envs.retarget.kinematics import kinematic_retarget
from jaxrl_envs.retarget.metrics import contact_agreement, mean_rotation_error, tracking_metrics
from jaxrl_envs.retarget.sensors import scale_sensors, to_heading_frame

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.rotations import quat_from_euler, quat_multiply

J = 4


def _arguments(**changes):
    values = {
        "human_q": np.linspace(-0.4, 0.4, 5),
        "joint_map": np.array([0, 4, 2, -1]),
        "sign": np.array([1, -1, 1, 1]),
        "gain": np.array([1.0, 0.5, 2.0, 1.0]),
        "offset": np.array([0.0, 0.1, 0.0, 5.0]),
        "lower": np.full(J, -1.0),
        "upper": np.full(J, 1.0),
        "human_root_pos": np.array([1.0, -2.0, 0.95]),
        "human_root_rest_height": 0.95,
        "char_root_rest_height": 0.35,
        "human_leg_length": 0.9,
        "char_leg_length": 0.3,
    }
    return values | changes


def test_mapping_by_hand():
    q, mask, root, scale = kinematic_retarget(**_arguments())
    np.testing.assert_allclose(q, [-0.4, -0.1, 0.0, 1.0], atol=1e-6)
    np.testing.assert_array_equal(mask, [True, True, True, False])
    np.testing.assert_allclose(root, [1 / 3, -2 / 3, 0.35], atol=1e-6)
    assert float(scale) == pytest.approx(1 / 3)


def test_rest_pose_goes_to_rest_pose():
    q, _, root, _ = kinematic_retarget(
        **_arguments(human_q=np.zeros(5), offset=np.zeros(J), human_root_pos=np.array([0, 0, 0.95]))
    )
    np.testing.assert_array_equal(q, np.zeros(J))
    np.testing.assert_allclose(root, [0, 0, 0.35], atol=1e-7)


def test_frames_batch_and_jit_agree():
    many = _arguments(human_q=np.random.default_rng(0).normal(size=(6, 5)))
    many["human_root_pos"] = np.random.default_rng(1).normal(size=(6, 3))
    whole = kinematic_retarget(**many)
    jitted = jax.jit(lambda **kw: kinematic_retarget(**kw))(**many)
    for one, other in zip(whole, jitted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    for t in range(6):
        row = kinematic_retarget(
            **many | {"human_q": many["human_q"][t], "human_root_pos": many["human_root_pos"][t]}
        )
        np.testing.assert_allclose(row[0], whole[0][t])
        np.testing.assert_allclose(row[2], whole[2][t])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"joint_map": np.array([0, 1, 2, 5])}, r"joint_map\[3\] is 5, but there are 5 human"),
        ({"joint_map": np.array([0, -2, 2, 3])}, r"joint_map\[1\] is -2"),
        ({"lower": np.array([0, 0, 2.0, 0])}, r"lower\[2\] is 2.0, above upper 1.0"),
        ({"upper": np.array([0, np.nan, 2.0, 0])}, r"lower\[1\] is -1.0"),
        ({"gain": np.ones(3)}, r"gain has shape \(3,\) but joint_map has \(4,\)"),
        ({"human_leg_length": 0.0}, "human_leg_length is 0.0; give a length above 0"),
        ({"char_root_rest_height": -1.0}, "char_root_rest_height is -1.0"),
        ({"human_root_pos": np.zeros(2)}, r"human_root_pos \(2,\)"),
        ({"human_q": np.full((3, 5), np.nan)}, "human_q holds .* not finite in frame 0"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        kinematic_retarget(**_arguments(**changes))


def test_a_bad_frame_is_named():
    frames = np.zeros((4, 3))
    frames[2, 1] = np.inf
    with pytest.raises(InputError, match="human_root_pos holds .* in frame 2"):
        kinematic_retarget(**_arguments(human_q=np.zeros((4, 5)), human_root_pos=frames))


angles = st.floats(-3.0, 3.0)
HEADING_FRAME = jax.jit(to_heading_frame)
METRICS = jax.jit(tracking_metrics)


@given(yaw=angles, move=st.tuples(angles, angles))
def test_the_heading_frame_forgets_where_and_which_way(yaw, move):
    generator = np.random.default_rng(0)
    root_pos, points, speeds = (generator.normal(size=s) for s in ((3,), (3, 3), (3, 3)))
    quats = generator.normal(size=(4, 4))
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    before = HEADING_FRAME(root_pos, quats[0], points, speeds, quats[1:])
    turn = quat_from_euler(np.array([yaw]), "z")  # NumPy, float64
    cosine, sine = np.cos(yaw), np.sin(yaw)
    matrix = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    shift = np.array([*move, 0.0])
    after = HEADING_FRAME(
        matrix @ root_pos + shift,
        quat_multiply(turn, quats[0]),
        points @ matrix.T + shift,
        speeds @ matrix.T,
        quat_multiply(turn, quats[1:]),
    )
    for one, other in zip(before[1:], after[1:], strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_height_and_drift_stay_visible():
    identity = np.array([1.0, 0, 0, 0])
    _, points, _, _ = to_heading_frame(
        np.array([2.0, 1.0, 0.9]), identity, np.array([[2.5, 1.0, 1.7]]), np.zeros((1, 3)),
        identity[None],
    )  # fmt: skip
    np.testing.assert_allclose(points, [[0.5, 0.0, 1.7]], atol=1e-6)


def test_a_lying_root_gives_no_nan():
    up = quat_from_euler(np.array([-np.pi / 2]), "y")
    out = HEADING_FRAME(np.zeros(3), up, np.ones((1, 3)), np.ones((1, 3)), up[None])
    np.testing.assert_allclose(out[0], [1, 0, 0, 0], atol=1e-6)
    assert all(np.isfinite(part).all() for part in out)


def test_sensors_scale_by_leg_in_the_plane_and_by_head_upwards():
    scaled = scale_sensors(np.array([[1.0, -2.0, 1.7]]), 1 / 3, 1.7, 0.6)
    np.testing.assert_allclose(scaled, [[1 / 3, -2 / 3, 0.6]], rtol=1e-6)


def test_contact_is_strict_and_nan_is_none():
    height = np.array([0.05, 0.0499, 0.01, np.nan])
    speed = np.array([0.0, 0.5, 0.49, 0.0])
    labels = reference_contact_labels(height, speed, 0.05, 0.5)
    np.testing.assert_array_equal(labels, [False, False, True, False])


def test_termination_by_distance_fall_and_nan():
    points = np.zeros((3, 3))
    usual = {"root_height": 0.9, "char_root_rest_height": 0.95, "scale": 1.0}

    def ends(keypoints=points, **changes):
        return bool(early_termination(keypoints, points, **usual | changes))

    assert not ends()
    assert not ends(points + [0.399, 0, 0]) and ends(points + [0.401, 0, 0])
    assert ends(points + [0.15, 0, 0], scale=1 / 3)
    assert not ends(root_height=0.381) and ends(root_height=0.379)
    assert ends(points + [np.nan, 0, 0]) and ends(root_height=np.nan)


def test_metrics_of_known_curves():
    t = np.arange(20) * 0.1
    cubic = np.stack([t**3 / 6, 0 * t, 0 * t], axis=-1)[:, None]
    speed, contact = np.full((20, 2), 0.3), np.zeros((20, 2))
    out = METRICS(cubic, cubic + [0, 0, 0.2], 0.1, speed, contact)
    assert float(out["mean_jerk"]) == pytest.approx(1.0, rel=1e-2)
    assert float(out["mean_keypoint_error"]) == pytest.approx(0.2, rel=1e-5)
    assert float(out["foot_skate"]) == 0.0
    contact[3, 1] = 1.0
    out = METRICS(cubic[:3], cubic[:3], 0.1, speed, contact)
    assert float(out["foot_skate"]) == pytest.approx(0.3) and float(out["mean_jerk"]) == 0.0
    with pytest.raises(ValueError, match="both must be"):
        tracking_metrics(cubic, cubic[:3], 0.1, speed, contact)
    assert float(contact_agreement(contact, np.zeros((20, 2)))) == pytest.approx(39 / 40)
    assert float(contact_agreement(np.zeros((5, 0)), np.zeros((5, 0)))) == 1.0
    quat = quat_from_euler(np.array([0.3]), "x")
    assert float(mean_rotation_error(quat[None], jnp.array([[1.0, 0, 0, 0]]))) == pytest.approx(0.3)
