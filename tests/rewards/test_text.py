"""Text answers: parsing, the format, and agreement with the array rewards."""

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given

from jaxrl_rewards.rewards import spatial, text

GT = [100.0, 200.0, 140.0, 220.0]


@pytest.mark.parametrize(
    ("answer", "box", "format_score"),
    [
        ("[100,200,140,220]", (100, 200, 140, 220), 1.0),
        ("[ 100, 200 ,140,220 ]", (100, 200, 140, 220), 1.0),
        (" [100, 200, 140, 220] ", (100, 200, 140, 220), 0.0),
        ("The box is [100.5,200,140,220]", (100.5, 200, 140, 220), 0.0),
        ("[-1,.5,2.25,-.5]", (-1, 0.5, 2.25, -0.5), 0.0),
        ("[1,2,3,4] and [5,6,7,8]", (1, 2, 3, 4), 0.0),
        ("[[1,2,3,4]]", (1, 2, 3, 4), 0.0),
        ("[100,200,140]", None, 0.0),
        ("[1,2,3,4,5]", None, 0.0),
        ("[1,2,3,four]", None, 0.0),
        ("[1e3,2,3,4]", None, 0.0),
        ("(1,2,3,4)", None, 0.0),
        ("", None, 0.0),
        ("system\nassistant\n[100,200,140,220]", (100, 200, 140, 220), 1.0),
        ("[1,2,3,4]assistant\nno box", None, 0.0),
        ("assistant\n[1,2,3,4]\nassistant\n[5,6,7,8]", (5, 6, 7, 8), 1.0),
    ],
)
def test_parsing_and_format(answer, box, format_score):
    assert text.parse_box(answer) == box
    assert text.format_reward(answer) == format_score


def test_scores_of_published_cases():
    assert text.score_completion("[100,200,140,220]", GT) == dict(point=1, coverage=1, format=1)
    assert text.score_completion("[100,200,140]", GT) == dict(point=0, coverage=0, format=0)
    near = text.score_completion("[141,200,181,220]", GT)
    assert near == {"point": 0.122, "coverage": 0.591, "format": 1.0}
    swapped = "[140,220,100,200]"
    assert text.score_completion(swapped, GT)["point"] == 0.0
    assert text.score_completion(swapped, GT, strict=False)["point"] == 1.0
    far = "[900,900,910,910]"
    assert text.score_completion(far, GT)["coverage"] == 0.0
    huge = "[" + "9" * 400 + ",1,2,3]"
    assert text.score_completion(huge, GT)["coverage"] == 0.0
    with pytest.raises(ValueError, match="four numbers"):
        text.score_completion("[1,2,3,4]", [1, 2, 3])


TWIN = jax.jit(
    lambda pred, gt: (
        spatial.gaussian_point_reward(pred, gt),
        spatial.gaussian_coverage_reward(pred, gt),
    )
)
number = st.integers(-20, 400).map(float) | st.integers(-2000, 40000).map(lambda n: n / 64)
box = st.tuples(number, number, number, number)
noise = st.text(st.sampled_from("ab ,.-x]\n0"), max_size=8)


@given(box, box, noise, noise)
def test_text_and_array_twins_agree(pred, gt, before, after):
    answer = before + text.format_box(pred) + after
    scores = text.score_completion(answer, gt, round_decimals=None)
    point, coverage = TWIN(np.float32(pred), np.float32(gt))
    np.testing.assert_allclose(scores["point"], point, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(scores["coverage"], coverage, rtol=1e-5, atol=1e-7)
    rounded = text.score_completion(answer, gt)
    assert rounded["point"] == round(scores["point"], 3)


@given(st.text(max_size=60))
def test_any_text_gets_a_finite_score(answer):
    scores = text.score_completion(answer, GT)
    assert set(scores) == {"point", "coverage", "format"}
    assert all(np.isfinite(value) for value in scores.values())


@given(st.tuples(*[st.integers(0, 5000)] * 4))
def test_a_formatted_box_reads_back(numbers):
    answer = text.format_box(numbers)
    assert text.parse_box(answer) == numbers
    assert text.format_reward(answer) == 1.0
