"""Answers and logs as text: quirks kept, hostile text survived, bad input named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_design.eureka import answers, scores


@pytest.mark.parametrize(
    ("response", "code"),
    [
        ("```\na\n``` and ```python\nb\n```", "b"),
        ("```\n\n```", "```\n\n```"),
        ('say """x = 1""" now', "x = 1"),
        ('""y""', "y"),
        ('use "z"', "z"),
        ("no block", "no block"),
        ("```python\ndef h():\n  pass\ndef f(x):\n  return x\n```", "def f(x):\n  return x"),
        ("```\nx = 1\n  def g(a):\n    pass\n```", "  def g(a):\n    pass"),
        ("```python\nundefined\n```", "undefined"),
    ],
)
def test_the_code_of_an_answer(response, code):
    assert answers.extract_reward_code(response) == code


@pytest.mark.parametrize(
    ("code", "signature"),
    [
        ("def f():\n  return 0", ("f(self.)", [])),
        ("def f(a, *, b=1): pass\ndef g(c): pass", ("f(self.a)", ["a"])),
        ("class A:\n  def f(self): pass", None),
        ("def f(", None),
        ("x = '\0'", None),
        ("(" * 5000, None),
        ("-" * 60000 + "1", None),
        ("async def f(a): pass", None),
    ],
)
def test_signatures(code, signature):
    assert answers.function_signature(code) == signature


@given(st.text(max_size=200))
def test_any_answer_is_read(text):
    assert isinstance(answers.extract_reward_code(text), str)
    assert answers.filter_traceback(text) in text + "\n"
    answers.function_signature(text)


def test_long_answers_are_cut_before_patterns_see_them():
    text = "é" * 100_000 + "```late```"
    assert len(answers.cut_answer(text).encode()) <= 64 * 1024
    assert answers.find_block(text) is None
    assert answers.cut_answer("\ud800") == "?"


def test_a_traceback_keeps_its_own_lines():
    text = "a\n  Traceback indented\nTraceback (x)\n one\nTraceback again\n HYDRA_FULL_ERROR\nz"
    assert answers.filter_traceback(text) == "Traceback (x)\n one\nTraceback again"


@pytest.mark.parametrize("call", [answers.cut_answer, answers.filter_traceback])
def test_what_is_no_text_is_refused(call):
    with pytest.raises(InputError, match="text"):
        call(b"bytes")


def test_reflection_without_success_shows_the_totals():
    logs = {"gt_reward": [1.0, 2.0, 4.0], "a/b": [0.0], "near": [0.5, 0.5, 0.5]}
    found = scores.reward_reflection(logs)
    assert found.fitness is None and found.epoch_freq == 1
    assert found.lines == [
        "ground-truth score: ['1.00', '2.00', '4.00'], Max: 4.00, Mean: 2.33, Min: 1.00 ",
        "near: ['0.50', '0.50', '0.50'], Max: 0.50, Mean: 0.50, Min: 0.50 ",
    ]


@pytest.mark.parametrize(
    ("logs", "word"),
    [
        ({}, "gt_reward"),
        ({"gt_reward": []}, "empty"),
        ({"gt_reward": [1.0], "a": [1.0, 2.0]}, "'a' has 2"),
        ({"gt_reward": [1.0], "a": ["x"]}, "'a'"),
    ],
)
def test_bad_logs_are_named(logs, word):
    with pytest.raises(InputError, match=word):
        scores.reward_reflection(logs)


@pytest.mark.parametrize("fitness", [[], [1.0, float("nan")], [float("inf")]])
def test_bad_fitness_is_named(fitness):
    with pytest.raises(InputError):
        scores.select_candidate(fitness, 0.0)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=8), st.floats(-10, 10))
def test_selection_never_loses_the_best(fitness, before):
    found = scores.select_candidate(fitness, before)
    assert found.iteration_best == max(fitness) == fitness[found.index]
    assert found.overall_best == max([before, *fitness])
    assert fitness.index(max(fitness)) == found.index


def test_the_score_is_not_a_number_without_a_gap():
    assert np.isnan(scores.human_normalized_score(1.0, 2.0, 2.0))
    assert scores.human_normalized_score(3.0, 1.0, 0.0) == 2.0
