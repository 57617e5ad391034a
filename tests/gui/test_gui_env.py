"""The grounding world: rewards, actions, splits, metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.gui import (
    GuiGround,
    decode_box,
    decode_point,
    encode_box,
    grounding_metrics,
    group_spread,
)

from jaxrl_rewards.core import InputError
from jaxrl_rewards.rewards import spatial

KEY = jax.random.key(0)
# Symbolic observations: nothing here looks at pixels, and they compile in a fraction of the time.
BOX = GuiGround(observation="symbolic")
PARAMS = BOX.default_params()
RESET = jax.jit(jax.vmap(BOX.reset, (0, None)))
STEP = jax.jit(jax.vmap(BOX.step, (0, 0, 0, None)))


def play(answer, count=32, params=PARAMS):
    keys = jax.random.split(KEY, count)
    state, first = RESET(keys, params)
    return first, *STEP(keys, state, answer(state), params)


@pytest.mark.slow
def test_the_right_box_earns_everything_in_one_step():
    first, state, timestep = play(lambda s: encode_box(s.target_box, 64, 64, 64))
    assert not first.done.any() and timestep.terminated.all() and not timestep.truncated.any()
    assert np.all(timestep.info["hit"] == 1) and np.all(timestep.info["distance"] < 1.0)
    assert np.all(timestep.terms["gaussian_point"] > 0.8)
    total = spatial.gaussian_point_reward(state.pred_box, state.target_box)
    total += spatial.gaussian_coverage_reward_safe(state.pred_box, state.target_box)
    np.testing.assert_allclose(timestep.reward, total, rtol=1e-5)
    assert np.all(first.info["hit"] == 0) and np.all(first.info["log_area"] == 0)
    np.testing.assert_array_equal(timestep.obs["tokens"], first.obs["tokens"])
    rows = np.arange(32)
    np.testing.assert_array_equal(state.target_box, state.layout.box[rows, state.target])
    assert np.all(state.layout.leaf[rows, state.target])


def test_reversed_answers_earn_nothing():
    flip = lambda s: encode_box(s.target_box, 64, 64, 64)[:, [2, 3, 0, 1]]  # noqa: E731
    _, _, timestep = play(flip)
    assert np.all(timestep.reward == 0)


@pytest.mark.slow
def test_point_and_cell_actions_name_the_same_place():
    point = GuiGround(observation="symbolic", action="point")
    cell = GuiGround(observation="symbolic", action="cell")
    state, _ = jax.jit(point.reset)(KEY, point.default_params())
    assert point.spec.term_names == cell.spec.term_names == ("gaussian_point",)
    for action in ([0.25, 0.5], [0.0, 1.0]):
        nxt, timestep = point.step(KEY, state, jnp.asarray(action), point.default_params())
        np.testing.assert_allclose(nxt.pred_box, [64 * a for a in action] * 2)
        expected = spatial.gaussian_point_at(nxt.pred_box[:2], state.target_box)
        np.testing.assert_allclose(timestep.reward, expected, rtol=1e-6)
    np.testing.assert_allclose(point.decode(jnp.asarray([jnp.nan, 7.0])), [0, 64, 0, 64])
    np.testing.assert_allclose(cell.decode(jnp.asarray([16, 32])), [16.5, 32.5] * 2)
    centre = 0.5 * (state.target_box[:2] + state.target_box[2:])
    _, timestep = point.step(KEY, state, centre / 64.0, point.default_params())
    np.testing.assert_allclose(timestep.reward, 1.0, rtol=1e-5)


@pytest.mark.slow
def test_the_reward_is_data():
    rewards = [1.0 * spatial.GaussianPoint(alpha=jnp.float32(a)) for a in (0.25, 0.5, 1.0)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rewards)
    state, _ = jax.jit(BOX.reset)(KEY, PARAMS)
    action = encode_box(state.target_box + 3.0, 64, 64, 64)

    def score(reward):
        return BOX.step(KEY, state, action, PARAMS.replace(reward=reward))[1].reward

    values = jax.vmap(score)(stacked)
    assert np.all(np.diff(values) > 0)
    gradient = jax.grad(score)(rewards[1])
    assert gradient.rewards[0].alpha > 0


@pytest.mark.slow
def test_pixels_and_symbols_show_the_same_screen():
    pixels = GuiGround()
    keys = jax.random.split(KEY, 4)
    state, first = jax.jit(jax.vmap(pixels.reset, (0, None)))(keys, pixels.default_params())
    other, symbolic = RESET(jax.random.split(KEY, 4), PARAMS)
    np.testing.assert_array_equal(state.layout.box, other.layout.box)
    np.testing.assert_array_equal(first.obs["tokens"], symbolic.obs["tokens"])
    assert first.obs["image"].shape == (4, 64, 64, 3) and first.obs["image"].dtype == jnp.uint8
    assert np.all(pixels.spec.observation_space.contains(first.obs))
    assert np.all(BOX.spec.observation_space.contains(symbolic.obs))


def test_splits_differ_and_bad_settings_are_named():
    unseen = GuiGround(split="unseen", observation="symbolic")
    assert unseen.default_params().layout.palettes[0] >= PARAMS.layout.palettes[1]
    dark = GuiGround(split="unseen", unseen=("palette",), observation="symbolic")
    np.testing.assert_array_equal(dark.default_params().layout.words, PARAMS.layout.words)
    for bad in (
        {"action": "swipe"},
        {"observation": "sound"},
        {"split": "test"},
        {"bins": 1},
        {"unseen": ("palette",)},
        {"width": 10},
        {"instructions": "long"},
    ):
        with pytest.raises(InputError, match=next(iter(bad))):
            GuiGround(**bad)


def test_coordinate_tokens_reach_both_borders_and_read_back():
    tokens = np.array([[0, 0, 63, 63], [5, 7, 20, 31]])
    boxes = decode_box(tokens, 128, 64, 64)
    np.testing.assert_allclose(boxes[0], [0, 0, 128, 64])
    np.testing.assert_array_equal(encode_box(boxes, 128, 64, 64), tokens)
    np.testing.assert_array_equal(encode_box(boxes + 1000.0, 128, 64, 64), 63)
    np.testing.assert_allclose(decode_box(tokens + 900, 128, 64, 64)[0], [128, 64, 128, 64])
    np.testing.assert_allclose(decode_point(np.array([0, 3]), 128, 64, 4), [16, 56])
    with pytest.raises(ValueError, match="2 bins"):
        decode_box(tokens, 64, 64, 1)


def test_metrics_count_by_type_and_size():
    target = np.array([[0, 0, 4, 4], [10, 10, 20, 20], [0, 0, 40, 40]], np.float32)
    pred = target + np.array([[0], [8], [0]], np.float32)
    result = grounding_metrics(
        pred, target, np.array([True, False, False]), width=64.0, height=64.0
    )
    np.testing.assert_allclose(result["accuracy"], 2 / 3)
    np.testing.assert_allclose(result["accuracy_icon"], 1.0)
    np.testing.assert_allclose(result["accuracy_text"], 0.5)
    np.testing.assert_allclose(result["accuracy_small"], 1.0)
    np.testing.assert_allclose(result["accuracy_medium"], 0.0)
    np.testing.assert_allclose(result["accuracy_large"], 1.0)
    np.testing.assert_allclose(result["iou_rate"], 2 / 3)
    np.testing.assert_allclose(result["distance"], np.sqrt(128) / 3, rtol=1e-6)
    none = grounding_metrics(pred, target, np.ones(3, bool), width=64.0, height=64.0)
    assert np.isnan(none["accuracy_text"])
    assert group_spread(np.array([[0.0, 0.0], [0.0, 1.0]])) == 0.5
