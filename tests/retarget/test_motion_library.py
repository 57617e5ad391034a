"""The library: lookups, windows and draws inside jit, from data alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.retarget.motion import build_library, look_up, sample_start, window

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.rotations import quat_about, quat_angle_between

TIMES = (0.1, 0.05)


def _clip(frames, slope, offset=0.0):
    t = np.arange(frames, dtype=np.float32)
    turn = quat_about("z", 0.2 * t).astype(np.float32)
    # The sign of a quaternion must not matter.
    turn[1::2] *= -1
    qpos = np.concatenate([np.zeros((frames, 3)), turn, t[:, None]], axis=1).astype(np.float32)
    return {
        "points": slope * t[:, None] * np.ones((1, 3), np.float32) + np.float32(offset),
        "root_quat": turn,
        "qpos": qpos,
        "contacts": (t % 2 == 0)[:, None],
    }


LIBRARY = build_library([_clip(6, 1.0), _clip(11, 2.0, 100.0)], TIMES, weights=[1.0, 3.0])
AT = jax.jit(lambda clip, time: look_up(LIBRARY, clip, time))


def test_padding_repeats_the_last_frame():
    assert LIBRARY.frames["points"].shape == (2, 11, 3)
    np.testing.assert_array_equal(LIBRARY.frames["points"][0, 5:], np.full((6, 3), 5.0))
    np.testing.assert_allclose(LIBRARY.durations, [0.5, 0.5])
    assert LIBRARY.num_clips == 2


@pytest.mark.parametrize("clip, time, value", [(0, 0.3, 3.0), (1, 0.25, 110.0), (0, 0.34, 3.4)])
def test_look_up_interpolates(clip, time, value):
    found = AT(clip, time)
    np.testing.assert_allclose(found["points"], value, rtol=1e-5)
    place = time / TIMES[clip]
    expected = quat_about("z", jnp.float32(0.2 * place))
    for quat in (found["root_quat"], found["qpos"][3:7]):
        assert float(quat_angle_between(quat, expected)) < 2e-3
        assert float(jnp.linalg.norm(quat)) == pytest.approx(1.0, abs=1e-5)
    assert float(found["qpos"][7]) == pytest.approx(place, rel=1e-5)
    assert bool(found["contacts"][0]) == (round(place) % 2 == 0)


@pytest.mark.parametrize("time, value", [(-1.0, 0.0), (0.5, 5.0), (9.0, 5.0)])
def test_outside_stands_the_nearest_frame(time, value):
    np.testing.assert_allclose(AT(0, time)["points"], value, rtol=1e-5)


def test_windows_say_what_lies_inside():
    offsets = jnp.array([-0.2, -0.1, 0.0, 0.3, 0.5])
    frames, inside = jax.jit(lambda t: window(LIBRARY, 0, t, offsets))(0.1)
    np.testing.assert_array_equal(inside, [False, True, True, True, False])
    np.testing.assert_allclose(frames["points"][:, 0], [0.0, 0.0, 1.0, 4.0, 5.0], atol=1e-5)


def test_draws_follow_the_weights_and_keep_the_margin():
    keys = jax.random.split(jax.random.key(0), 4000)
    draw = jax.jit(
        jax.vmap(lambda key, w: sample_start(key, LIBRARY, margin=0.2, weights=w), (0, None))
    )
    clips, times = draw(keys, jnp.array([1.0, 3.0]))
    share = float(jnp.mean(clips == 1))
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)
    assert float(times.min()) >= 0.0 and 0.29 < float(times.max()) <= 0.3
    assert abs(float(times.mean()) - 0.15) < 0.01
    # Weights are data: the same compiled function, another distribution.
    clips, _ = draw(keys, jnp.array([1.0, 0.0]))
    assert int(clips.max()) == 0
    _, times = jax.jit(lambda key: sample_start(key, LIBRARY, margin=3.0))(jax.random.key(1))
    assert float(times) == 0.0


@pytest.mark.parametrize(
    "clips, times, weights, message",
    [
        ([], 0.1, None, "needs at least one clip"),
        ([_clip(3, 1.0), {"points": np.zeros((3, 3))}], 0.1, None, "one structure and shape"),
        ([{"a": np.zeros((3, 2)), "b": np.zeros(4)}], 0.1, None, r"leaves of \[3, 4\] frames"),
        ([{"a": np.zeros(3), "b": np.float32(1)}], 0.1, None, r"leaves of \[0, 3\] frames"),
        ([_clip(3, 1.0)], 0.0, None, "frame times are"),
        ([_clip(3, 1.0)], 0.1, [0.0], "not all 0"),
        ([_clip(3, 1.0)], 0.1, [1.0, 2.0], "one number per clip"),
        ([_clip(3, 1.0)], 0.1, [np.nan], "none negative"),
    ],
)
def test_what_is_no_library_is_refused(clips, times, weights, message):
    with pytest.raises(InputError, match=message):
        build_library(clips, times, weights)
