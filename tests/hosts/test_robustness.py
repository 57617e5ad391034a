"""Whatever a model says, a reward gives a number, in a time linear in the length."""

import math
import subprocess
import sys
import time
from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from jaxrl_rewards import hosts
from jaxrl_rewards.rewards import text

REWARDS = [
    text.AnswerReward(),
    text.CosineLengthReward(unit="characters"),
    text.GuiG2Reward(),
    text.NumberReward(),
    text.OverlongReward(unit="words"),
    text.RepetitionReward(),
    text.TagsReward(),
]
ALL = text.TextSum(rewards=tuple(REWARDS))
ROW = {"answer": "5", "bbox": [1, 2, 3, 4], "width": 10, "height": 10}


@settings(max_examples=150)
@given(
    st.text(max_size=120)
    | st.text(st.sampled_from("[](){}<>|/\\boxed#x=1y2.,: -\n\"'"), max_size=120)
)
def test_any_text_has_finite_scores(completion):
    assert math.isfinite(ALL(completion, ROW).total)


HOSTILE = [
    "[1,", "[1,2", "(", "[ ", "1", "1,", "1,234", "1.1.", "-", " ", "\\boxed", "\\boxed{", "#### ",
    "<think>", "</think>", "<answer>", "answer is ", "ans ", "x=", "x1=1,y1=2,", '{"x":',
    "<point x=", "<loc_1>", "Action:", "assistant\n", "```", "\\text{", "é", "\U0001f600", "\x00",
]  # fmt: skip


@pytest.mark.parametrize("reward", REWARDS, ids=lambda reward: reward.name)
def test_time_is_linear_in_the_length(reward):
    """Eight times the length takes less than 30 times as long; quadratic work takes 64 times."""
    for piece in HOSTILE:
        short = piece * (16_000 // len(piece))
        times = []
        for completion in (short, short * 8):
            runs = []
            for _ in range(3):
                begin = time.process_time()
                assert not math.isinf(reward(completion, ROW).total)
                runs.append(time.process_time() - begin)
            times.append(min(runs))
        assert times[1] < 30 * max(times[0], 1e-3), (piece, times)


def test_a_megabyte():
    for completion in ("word " * 200_000 + "\\boxed{5} [1,2,3,4]", "中" * 300_000 + " 5"):
        assert math.isfinite(ALL(completion, ROW).total)
    assert text.AnswerReward()("word " * 200_000 + "\\boxed{5}", ROW).total == 1.0


@pytest.mark.parametrize(
    ("completion", "plain"),
    [
        ("a", "a"),
        (b"a\xff", "a\ufffd"),
        ([{"role": "assistant", "content": "a"}], "a"),
        ([{"role": "assistant", "content": "a"}, {"role": "tool", "content": "b"}], "a"),
        ([{"role": "assistant", "content": "a"}, {"role": "assistant", "content": None}], "a"),
        (
            [{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}],
            "a",
        ),
        ([{"content": "a"}], "a"),
        ([SimpleNamespace(role="assistant", content="a")], "a"),
        (np.array([{"role": "assistant", "content": "a"}], dtype=object), "a"),
        ({"role": "assistant", "content": "a"}, "a"),
        ([], ""),
        ([{"role": "user", "content": "b"}], ""),
        (None, None),
    ],
)
def test_completions(completion, plain):
    assert text.text_of(completion) == plain


def test_a_completion_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="a string or a list of chat messages, got int"):
        text.text_of(5)


def test_columns_as_lists_or_single_values():
    function = hosts.trl_reward(text.GuiG2Reward())
    boxes = ["[0,0,2,2]"] * 4
    box = [0, 0, 2, 2]
    for column in (box, [box] * 4, np.array([box] * 4), str(box), np.array(box), {"bbox": box}):
        assert function(completions=boxes, bbox=column) == [2.0] * 4
    answers = hosts.trl_reward(text.AnswerReward())
    assert answers(completions=["1", "2"], answer=["1", "3"]) == [1.0, 0.0]
    assert answers(completions=["1", "2"], answer="2") == [0.0, 1.0]
    assert answers(completions=["1", "2"], answer=["1", None]) == [1.0, None]
    assert answers(completions=[], answer=[]) == []


def test_terms_that_do_not_apply_are_left_out_of_means():
    logged = {}
    function = hosts.trl_reward(text.GuiG2Reward())
    function(completions=["[0,0,2,2]", "(1, 1)"], bbox="[0,0,2,2]", log_metric=logged.__setitem__)
    assert logged["gui_g2/coverage"] == logged["gui_g2/point"] == 1.0
    function(completions=["[0,0,2,2]"], log_metric=logged.__setitem__)
    assert math.isnan(logged["gui_g2/point"])


def test_sums():
    total = text.TextSum(rewards=(text.AnswerReward(), text.TagsReward()), weights=(1.0, 0.5))
    scores = total("<think>x</think><answer>5</answer>", {"answer": "5"})
    assert scores.total == 1.5
    assert scores.terms == {"answer": 1.0, "answer/found": 1.0, "format": 1.0, "format/marks": 1.0}
    assert total("<think>x</think><answer>5</answer>").total == 0.5
    assert math.isnan(total(None).total) and set(total(None).terms) == set(scores.terms)
    with pytest.raises(ValueError, match="1 weights do not fit 2 rewards"):
        text.TextSum(rewards=total.rewards, weights=(1.0,))
    with pytest.raises(ValueError, match="named alike"):
        text.TextSum(rewards=(text.TagsReward(), text.TagsReward()))


def test_functions_and_coroutines_are_rewards():
    import asyncio

    def short(answer, row):
        return None if row.get("skip") else float(len(answer) < row["limit"])

    async def judged(answer, row):
        await asyncio.sleep(0)
        return short(answer, row)

    columns = {"completions": ["ab", "abcd", "x"], "limit": 3, "skip": [False, False, True]}
    assert hosts.trl_reward(short)(**columns) == [1.0, 0.0, None]
    assert asyncio.run(hosts.trl_reward(judged, asynchronous=True)(**columns)) == [1.0, 0.0, None]
    with pytest.raises(ValueError, match="judged must be awaited; give asynchronous=True"):
        hosts.trl_reward(judged)
    with pytest.raises(ValueError, match="5 is no text reward"):
        hosts.verl_score(5)


def test_tokens_where_the_host_gives_none():
    reward = text.OverlongReward(longest=4, buffer=2)
    count = hosts.verl_score(reward, tokenize=str.split)
    assert count("x", "a b c d", None)["score"] == -1.0
    assert hosts.verl_score(reward)("x", "a b c d", None)["applicable"] == 0.0


def test_rewards_can_be_sent_to_other_processes():
    import pickle

    reward = pickle.loads(pickle.dumps(hosts.tunix_reward(ALL)))
    assert reward(prompts=["p"], completions=["5"], **ROW)[0] > 0.0
    assert reward.__name__ == "sum"


def test_options_that_cannot_be():
    for wrong, message in (
        (lambda: text.OverlongReward(buffer=0), "buffer is 0"),
        (lambda: text.OverlongReward(unit="bytes"), "unit is 'bytes'"),
        (lambda: text.RepetitionReward(penalty=1.0), "penalty is 1.0"),
        (lambda: text.RepetitionReward(n=0), "n is 0"),
        (lambda: text.GuiG2Reward(layout="x"), "layout is 'x'"),
        (lambda: text.GuiG2Reward(scale="x"), "scale is 'x'"),
        (lambda: text.GuiG2Reward()("[1,2,3,4]", {"bbox": [1, 2]}), "four numbers"),
        (lambda: text.GuiG2Reward()("[1,2,3,4]", {"bbox": "none"}), "four numbers"),
        (lambda: text.GuiG2Reward(scale="unit")("(.1, .2)", {"bbox": [1, 2, 3, 4]}), "width and"),
        (lambda: text.normalise_groups([1, 2, 3], 2), "3 rewards do not divide"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


def test_jax_is_not_imported():
    """In a new interpreter: the hosts and their rewards, used, and no array library of JAX's."""
    script = (
        "import sys\n"
        "from jaxrl_rewards.hosts import trl_reward\n"
        "from jaxrl_rewards.rewards.text import AnswerReward, GuiG2Reward\n"
        "assert trl_reward(GuiG2Reward())(completions=['[0,0,2,2]'], bbox='[0,0,2,2]') == [2.0]\n"
        "assert trl_reward(AnswerReward())(completions=['5'], answer=['5']) == [1.0]\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'jax', 'jaxlib', 'flax', 'optax', 'torch', 'trl', 'verl'}, loaded\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr


# ---------------------------------------------------------------- Qwen's resized images


@pytest.mark.parametrize(
    ("size", "options", "resized"),
    [
        ((1920, 1080), {}, (1932, 1092)),
        ((1280, 800), {}, (1288, 812)),
        ((28, 28), {}, (56, 56)),
        ((10, 10), {}, (56, 56)),
        ((3840, 2160), {"max_pixels": 1_000_000}, (1316, 728)),
        ((1000, 1000), {"factor": 32}, (992, 992)),
        ((2000, 20), {"min_pixels": 100_000}, (3164, 56)),
    ],
)
def test_sizes_after_resizing(size, options, resized):
    assert text.smart_resize(*size, **options) == resized


@settings(max_examples=100)
@given(st.integers(28, 6000), st.integers(28, 6000))
def test_resizing_keeps_its_bounds(width, height):
    if max(width, height) > 200 * min(width, height):
        return
    w, h = text.smart_resize(width, height, max_pixels=1_000_000)
    assert w % 28 == h % 28 == 0
    assert w * h >= 56 * 56
    # A side is at least one patch, so a very long image may be larger.
    assert w * h <= 1_000_000 or 28 in (w, h)


def test_answers_in_resized_pixels():
    w, h = text.smart_resize(1920, 1080)
    box = [100, 200, 300, 260]
    answer = text.format_box(
        [box[0] * w / 1920, box[1] * h / 1080, box[2] * w / 1920, box[3] * h / 1080]
    )
    row = {"bbox": box, "width": 1920, "height": 1080}
    assert text.GuiG2Reward(resized=True)(answer, row).total == pytest.approx(2.0, abs=1e-6)
    assert text.GuiG2Reward()(answer, row).total < 1.999
    with pytest.raises(ValueError, match="columns width and height"):
        text.GuiG2Reward(resized=True)(answer, {"bbox": box})
    with pytest.raises(ValueError, match="longer than 200"):
        text.smart_resize(10000, 10)
