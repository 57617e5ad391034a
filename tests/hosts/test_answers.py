"""Finding answers and comparing them: the written pairs, and what must hold for all."""

import json
import random
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from jaxrl_rewards.rewards.text import AnswerReward, extract_answer, same_answer
from jaxrl_rewards.rewards.text.compare import read_value
from jaxrl_rewards.rewards.text.extract import NUMBER, last_number

PAIRS = json.loads((Path(__file__).parent / "answer_pairs.json").read_text(encoding="utf-8"))


def test_the_written_pairs():
    """`same` is what a reader would say, `math_verify` what version 0.9.0 of that package says
    (both sides in a box); where they differ, the pair says why."""
    wrong = [p for p in PAIRS if same_answer(p["answer"], p["gold"]) != p["same"]]
    assert not wrong, wrong
    assert len(PAIRS) >= 200
    for pair in PAIRS:
        assert (pair["same"] != pair["math_verify"]) == ("why" in pair), pair
    assert Counter("why" in pair for pair in PAIRS)[True] <= 20


def test_comparing_goes_both_ways():
    wrong = [p for p in PAIRS if same_answer(p["gold"], p["answer"]) != p["same"]]
    assert not wrong, wrong


def test_every_answer_that_can_be_read_is_itself():
    for pair in PAIRS:
        for text in (pair["gold"], pair["answer"]):
            assert same_answer(text, text) == bool(text.strip())


fraction = st.fractions(min_value=-1000, max_value=1000, max_denominator=99)


@settings(max_examples=100)
@given(fraction, fraction)
def test_fractions(a, b):
    written = f"\\frac{{{a.numerator}}}{{{a.denominator}}}"
    assert same_answer(written, f"{b.numerator}/{b.denominator}") == (a == b)
    assert same_answer(written, f"{100 * a.numerator}/{a.denominator}\\%")


@settings(max_examples=60)
@given(st.integers(-(10**18), 10**18), st.integers(0, 10**6))
def test_integers(number, cents):
    assert same_answer(f"{number:,}", str(number))
    assert not same_answer(str(number + 1), f"{number:,}")
    assert same_answer(f"\\${cents / 100:,.2f}", str(cents / 100))


@settings(max_examples=40)
@given(st.lists(st.integers(-99, 99), min_size=2, max_size=6, unique=True), st.randoms())
def test_sets_and_tuples(values, chance):
    mixed = values[:]
    chance.shuffle(mixed)
    listed, shuffled = ", ".join(map(str, values)), ",".join(map(str, mixed))
    assert same_answer(f"\\{{{listed}\\}}", f"\\{{{shuffled}\\}}")
    assert same_answer(f"({listed})", f"({shuffled})") == (values == mixed)


def test_expressions_by_their_values():
    rng = random.Random(0)
    for _ in range(60):
        a, b, c, d = (rng.randint(-9, 9) or 1 for _ in range(4))
        product = f"({a}x+{b})({c}x+{d})"
        assert same_answer(product, f"{a * c}x^2+{a * d + b * c}x+{b * d}"), product
        assert not same_answer(product, f"{a * c}x^2+{a * d + b * c}x+{b * d + 1}"), product


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\\boxed{\\frac{1}{2}} then \\boxed{\\frac{3}{4}}", "\\frac{3}{4}"),
        ("\\boxed{ \\{1, 2\\} }", "\\{1, 2\\}"),
        ("\\boxed{\\text{a {b} c}}", "\\text{a {b} c}"),
        ("\\boxed 7 apples", "7"),
        ("\\fbox{8}", "8"),
        ("\\boxed{1 + (2", "2"),
        ("a = 5\n#### 1,234 \nnothing", "1,234"),
        ("So the answer is $5$. Then more.", "5"),
        ("**Final Answer:** 12.5\n", "12.5"),
        ("The answer is 5 because 2 + 3 = 5.", "5"),
        ("the answer is $\\frac{1}{2}$, since 2/4 = 1/2", "\\frac{1}{2}"),
        ("The answer is: 3.14", "3.14"),
        ("<answer> 42 </answer>", "42"),
        ("<answer>so \\boxed{43}</answer>", "43"),
        ("<think>\\boxed{1}</think> it is 2", "2"),
        ("<think>\\boxed{1}", None),
        ("first 3, last -4.", "-4"),
        ("The chance is 1/6.", "1/6"),
        ("5 is not -1 / 2", "-1 / 2"),
        ("we have 5-1/2", "1/2"),
        ("and/or 7", "7"),
        ("no digits", None),
        ("", None),
    ],
)
def test_extraction(text, answer):
    assert extract_answer(text) == answer


def test_options_of_extraction():
    text = "<think>it is 5</think>"
    assert extract_answer(text) is None
    assert extract_answer(text, thoughts=True) == "5"
    assert extract_answer("5 \\boxed{6}", ("number",)) == "6"
    strict = AnswerReward(methods=("boxed",), correct=2.0, wrong=-1.0)
    assert strict("5", {"answer": "5"}).total == -1.0
    assert strict("\\boxed{5}", {"answer": "5"}).total == 2.0
    with pytest.raises(ValueError, match=r"\['box'\] are no methods"):
        AnswerReward(methods=("box",))


@settings(max_examples=300)
@given(st.text(st.sampled_from("0123,.- a)"), max_size=30))
def test_the_last_number_is_the_last_of_all(text):
    """The shortcut to the end of the text finds what a search from its begin finds."""
    every = NUMBER.findall(text)
    assert last_number(text) == (every[-1] if every else None)


PIECES = [
    "\\frac", "\\sqrt", "\\ln", "\\log", "\\sin", "\\binom", "\\pi", "\\infty", "\\pm", "\\text{",
    "\\cup", "\\in", "\\le", "\\begin{pmatrix}", "\\end{pmatrix}", "{", "}", "(", ")", "[", "]",
    "\\{", "\\}", "^", "_", "0", "1", "2", "12", "0.5", "1e9", "x", "i", "e", "+", "-", "*", "/",
    "=", "<", ",", "|", "!", "%", " ", "°", "cm", " and ", "&", "\\\\", "\ud800", "\x00",
]  # fmt: skip


@settings(max_examples=1500)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_any_formula_can_be_read(text):
    same_answer(text, "5")
    same_answer("\\{1, x\\}", text)
    AnswerReward()("\\boxed{" + text + "}", {"answer": text})


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("\\ln 0", "\\infty", False),
        ("10^{400}", "10^{400}+1", False),
        ("10^{400}", "1" + "0" * 400, True),
        ("10^{400}", "\\infty", False),
        ("-10^{400}", "10^{400}", False),
        ("1/0", "\\infty", False),
        ("x_{\ud800}", "5", False),
        ("5 + 3 = 8", "8", True),
        ("0.1\\overline{6}", "\\frac{1}{6}", True),
        (".\\overline{12}", "\\frac{4}{33}", True),
        ("\\tan^{-1} 1", "\\frac{\\pi}{4}", True),
        ("\\lfloor 2.5 \\rfloor + \\lceil \\pi \\rceil", "6", True),
        ("12 \\pi cm^2", "12\\pi", True),
        ("12 \\pi cm^2", "12\\pi \\text{ cm}", False),
        ("\\text{6:30 PM}", "6:30 pm", True),
        ("6:30 pm", "6:30 am", False),
    ],
)
def test_extremes(left, right, same):
    assert same_answer(left, right) == same_answer(right, left) == same


@settings(max_examples=300)
@given(
    st.text(max_size=80)
    | st.text(st.sampled_from("\\frac{}[]()123,.^_|!$%+-=<> xie°⟪±"), max_size=60)
)
def test_any_text_can_be_read(text):
    read_value(text)
    assert same_answer(text, text) == bool(text.strip())
    extract_answer(text)
