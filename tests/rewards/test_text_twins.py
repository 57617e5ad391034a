"""The host rewards for text and their twins inside compiled programs agree."""

import functools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from jaxrl_rewards.credit import group_advantages, multi_reward_advantages, overlong_penalty
from jaxrl_rewards.rewards import text
from jaxrl_rewards.rewards.text import jitted
from jaxrl_rewards.rewards.text.answers import find_number

LONG = 64
number_of_host = text.NumberReward()
TAGS = text.TagsReward()


@functools.cache
def number_twin(marker):
    return jax.jit(lambda a, b: jitted.number_reward(a, b, marker))


tags_twin = jax.jit(jitted.tags_reward)
pieces = st.lists(
    st.sampled_from(
        [
            "####",
            "-",
            "1",
            "0",
            "23",
            ",",
            ".",
            ",456",
            "7,890",
            " ",
            "a",
            ")",
            "é",
            "00",
            ".50",
            "\n",
        ]
    ),
    max_size=14,
).map("".join)


def same(host, twin, **tolerance):
    np.testing.assert_allclose(host, twin, **({"rtol": 1e-6, "atol": 1e-6} | tolerance))


@settings(max_examples=200)
@given(pieces, pieces, st.sampled_from(["####", "a"]))
def test_numbers(answer, target, marker):
    reward = text.NumberReward(marker=marker)
    host = reward(answer, {"answer": target}).total
    twin = number_twin(marker)(jitted.encode_text(answer, LONG), jitted.encode_text(target, LONG))
    same(host, twin)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("#### 1,234.50", (False, "1234", "5")),
        ("a 5-3", (False, "3", "")),
        ("x = -007", (True, "7", "")),
        ("-0.0", (False, "", "")),
        ("1 #### none", None),
        ("9 #### 3 then 4", (False, "3", "")),
        ("1,2345", (False, "2345", "")),
        ("it is -.50", (True, "", "5")),
        ("well...5", (False, "5", "")),
        ("1.2.3", (False, "3", "")),
        ("123456789012345678901234567890", (False, "123456789012345678901234567890", "")),
    ],
)
def test_numbers_that_are_read(written, number):
    assert find_number(written) == number


def test_numbers_too_long_for_the_twin_equal_nothing():
    written = jitted.encode_text("9" * 30, LONG)
    assert number_twin("####")(written, written) == 0.0


marks = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<answer>", "</answer>", " ", "\n", "x", "<", "think>"]
    ),
    max_size=9,
).map("".join)


@settings(max_examples=200)
@given(marks)
def test_tags(answer):
    same(TAGS(answer).total, tags_twin(jitted.encode_text(answer, 80)), atol=0)


def test_tags_that_are_right():
    good = " <think>\na < b</think>\n<answer>5</answer> "
    assert TAGS(good).total == tags_twin(jitted.encode_text(good, 80)) == 1.0
    assert text.TagsReward(opened=True)("a</think><answer>5</answer>").total == 1.0
    assert text.TagsReward(partial=True)("<think>a</think>").total == 0.25


@functools.cache
def repetition_twin(n):
    return jax.jit(lambda tokens, mask: jitted.repetition_reward(tokens, mask, n, -0.5))


@settings(max_examples=60)
@given(st.lists(st.integers(0, 3), max_size=24), st.sampled_from([1, 3]), st.integers(0, 5))
def test_repetition(tokens, n, gap):
    reward = text.RepetitionReward(n=n, penalty=-0.5, unit="tokens")
    host = reward("", {"completion_ids": tokens}).total
    padded, mask = np.zeros(32, np.int32), np.zeros(32, bool)
    mask[gap : gap + len(tokens)] = True
    padded[mask] = tokens
    same(host, repetition_twin(n)(padded, mask))


@given(st.integers(0, 40), st.booleans())
def test_length(length, correct):
    row = {"completion_ids": range(length), "answer": "5"}
    answer = "5" if correct else "6"
    overlong = text.OverlongReward(longest=30, buffer=8, factor=2.0)
    same(overlong(answer, row).total, overlong_penalty(length, 30, 8, 2.0))
    cosine = text.CosineLengthReward(longest=30)
    same(cosine(answer, row).total, jitted.cosine_length_reward(length, correct, 30.0))


box_twin = jax.jit(jitted.gui_g2_reward)
coordinate = st.integers(-20, 400).map(float) | st.integers(-2000, 40000).map(lambda n: n / 64)
box = st.tuples(coordinate, coordinate, coordinate, coordinate)
shapes = st.sampled_from(
    [
        "[{}, {}, {}, {}]",
        "[[{}, {}], [{}, {}]]",
        "({},{}),({},{})",
        '{{"bbox_2d": [{}, {}, {}, {}], "label": "ok"}}',
        "x1={}, y1={}, x2={}, y2={}",
        "<think>[1,1,2,2]</think><answer>[{},{},{},{}]</answer>",
        "<bbox>{} {} {} {}</bbox>",
        "Thought: 3 of [4, 5] things\nAction: click(start_box='[{}, {}, {}, {}]')",
    ]
)


@settings(max_examples=100)
@given(box, box, shapes, st.booleans())
def test_boxes(pred, gt, shape, as_text):
    target = text.format_box(gt) if as_text else list(gt)
    host = text.GuiG2Reward(scale="pixels")(shape.format(*pred), {"bbox": target})
    same(host.total, box_twin(np.float32(pred), np.float32(gt)))


@given(st.lists(st.none() | st.integers(-4, 4).map(float), min_size=8, max_size=8))
def test_groups(rewards):
    values = jnp.asarray([np.nan if r is None else r for r in rewards], jnp.float32).reshape(2, 4)
    for mode in ("grpo", "dr_grpo", "rloo"):
        twin = jax.vmap(lambda group, mode=mode: group_advantages(group, mode=mode, epsilon=1e-4))(
            values
        )
        host = text.normalise_groups(rewards, 4, mode)
        same(host, np.asarray(twin).reshape(-1), rtol=1e-5, atol=1e-5)


def test_several_rewards_of_groups():
    rewards = np.random.default_rng(0).normal(size=(12, 3)) * [1.0, 10.0, 0.1]
    rewards[2, 1] = rewards[5] = np.nan
    twin = multi_reward_advantages(
        jnp.asarray(rewards, jnp.float32),
        jnp.asarray([1.0, 2.0, 0.5]),
        jnp.repeat(jnp.arange(3), 4),
        3,
        aggregation="normalise_then_sum",
    )
    same(text.sum_normalised(rewards, [1.0, 2.0, 0.5], 4), twin, rtol=1e-4, atol=1e-4)
    assert text.teaching_share([1, 1, 0, 1, None, None, 2, 2], 2) == 0.25


def test_bytes_of_tokens():
    table = jitted.token_table(["<think>", "1", "2,000", " ", b"\xc3"])
    tokens = jnp.asarray([0, 3, 1, 2, 9, 4, 4])
    spelled = jitted.bytes_of_tokens(tokens, table, jnp.asarray([1, 1, 1, 1, 1, 1, 0], bool))
    compact = jitted.close_gaps(spelled)
    assert bytes(np.asarray(compact[compact >= 0], np.uint8)) == b"<think> 12,000\xc3"
    assert number_twin("####")(spelled, jitted.encode_text("12000", LONG)) == 1.0
    with pytest.raises(ValueError, match="3 bytes"):
        jitted.encode_text("abc", 2)
