"""Reading reward programs: what is accepted, what is refused and where, and reading back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.quantities import Quantity
from jaxrl_rewards.reward_design.programs import expression as e
from jaxrl_rewards.reward_design.programs.parser import parse_expression, parse_program
from jaxrl_rewards.reward_design.programs.quantities import check_quantities, stack_values
from tests.eureka.random_programs import QUANTITIES, any_program, random_program

SIZES = QUANTITIES


def read(text, **kwargs):
    return parse_expression(text, SIZES, **kwargs)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("1+2*dist", "1.0 + 2.0 * dist"),
        ("(1+2)*dist", "(1.0 + 2.0) * dist"),
        ("dist-(speed-1)", "dist - (speed - 1.0)"),
        ("dist-speed-1", "dist - speed - 1.0"),
        ("dist/(speed*2)", "dist / (speed * 2.0)"),
        ("div(dist,speed)", "dist / speed"),
        ("-(dist+1)", "-(dist + 1.0)"),
        ("--dist", "--dist"),
        ("-2*-dist", "-2.0 * -dist"),
        ("where((dist<1),u[2],-.5e-1)", "where(dist < 1.0, u[2], -0.05)"),
        ("norm(u*2-1)", "norm(u * 2.0 - 1.0)"),
        ("dot(v, v/norm(v))", "dot(v, v / norm(v))"),
        ("where(speed, 1, 2)", "where(speed, 1.0, 2.0)"),
    ],
)
def test_reading_and_printing(text, shown):
    node = read(text)
    assert e.print_expression(node) == shown
    assert read(shown) == node


@pytest.mark.parametrize(
    ("text", "position", "word"),
    [
        ("", 0, "the end"),
        ("dist.__class__", 4, "unexpected character"),
        ('__import__("os")', 11, "unexpected character"),
        ("__import__(dist)", 0, "no function"),
        ("foo(dist)", 0, "no function"),
        ("dist(1)", 0, "no function"),
        ("goal", 0, "no quantity"),
        ("success", 0, "no quantity"),
        ("dist < 1", 0, "first argument of where"),
        ("(dist < 1) + 1", 0, "first argument of where"),
        ("where(dist, dist < 1, 2)", 12, "first argument of where"),
        ("where(dist < speed < 1, 1, 2)", 19, "expected ')'"),
        ("-(dist < 1)", 0, "first argument of where"),
        ("dist == 1", 5, "expected the end"),
        ("dist ** 2", 6, "expected a number"),
        ("u", 0, "must be a number"),
        ("u + 1", 0, "must be a number"),
        ("norm(u + v)", 7, "do not go together"),
        ("dot(u, v)", 0, "do not go together"),
        ("u[3]", 2, "no entry"),
        ("u[-1]", 2, "whole number"),
        ("u[1.0]", 2, "whole number"),
        ("dist[0]", 5, "no index"),
        ("1000001", 0, "exceeds"),
        ("1e999", 0, "exceeds"),
        ("exp(1, 2)", 0, "takes 1"),
        ("clip(1, 2)", 0, "takes 3"),
        ("exp()", 4, "expected a number"),
        ("exp", 0, "no quantity"),
        ("(dist", 5, "expected ')'"),
        ("dist)", 4, "expected the end"),
        ("lambda x: x", 8, "unexpected character"),
        ("dist\n", 4, "expected the end"),
        ("\u0661", 0, "unexpected character"),
    ],
)
def test_refusals_name_place_and_reason(text, position, word):
    with pytest.raises(e.ProgramError, match="at character") as caught:
        read(text)
    assert caught.value.position == position and word in str(caught.value)


def test_limits_hold_exactly():
    inside = {
        "nodes": "+".join(["dist"] * 32),
        "depth": "(" * 16 + "dist" + ")" * 16,
        "signs": "-" * 16 + "dist",
        "constant": "1e6",
        "characters": "dist" + " " * 996,
    }
    outside = {
        "nodes": "-dist+" + "+".join(["dist"] * 31) + "+1",
        "depth": "(" * 17 + "dist" + ")" * 17,
        "signs": "-" * 17 + "dist",
        "constant": "1000000.1",
        "characters": "dist" + " " * 997,
    }
    for text in inside.values():
        assert read(text).count() <= e.MAX_NODES
    for name, text in outside.items():
        with pytest.raises(e.ProgramError):
            pytest.fail(name) if read(text) else None
    lines = [f"t{i} = dist" for i in range(12)]
    assert len(parse_program("\n".join(lines), SIZES).terms) == 12
    with pytest.raises(e.ProgramError, match="more than 12 terms"):
        parse_program("\n".join([*lines, "t = dist"]), SIZES)
    with pytest.raises(e.ProgramError, match="more than 64 nodes"):
        parse_program("a = " + "+".join(["dist"] * 20) + "\nb = " + "+".join(["u[0]"] * 20), SIZES)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no term"),
        ("\n \n", "no term"),
        ("dist", "expected '='"),
        ("a = dist b = 1", "expected a new line"),
        ("a = dist\na = 1", "two terms"),
        ("norm = dist", "cannot be called"),
        ("a" * 33 + " = dist", "cannot be called"),
        ("1 = dist", "expected the name"),
        ("a = u", "must be a number"),
        ("a = b\nb = dist", "no quantity"),
        ("a = dist # far", "unexpected character"),
        ("import os\na = dist", "expected '='"),
    ],
)
def test_programs_refused(text, word):
    with pytest.raises(e.ProgramError, match=word):
        parse_program(text, SIZES)


def test_names_alone_leave_sizes_open():
    assert parse_expression("norm(u) + u", ["u"]).variables() == {"u"}
    assert parse_expression("u[3]", ["u"]).index == 3
    with pytest.raises(e.ProgramError, match="no quantity"):
        parse_expression("v", ["u"])


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"a b": Quantity((), "", 1.0, 0, "")},
        {"norm": Quantity((), "", 1.0, 0, "")},
        {"a": Quantity((2, 2), "", 1.0, 0, "")},
        {"a": Quantity((0,), "", 1.0, 0, "")},
        {"a": Quantity((), "", 0.0, 0, "")},
        {"a": Quantity((), "", 1.0, 2, "")},
    ],
)
def test_quantities_that_cannot_be_read_are_named(wrong):
    with pytest.raises(InputError):
        check_quantities(wrong)


def test_values_of_another_shape_are_refused():
    values = {"dist": 1.0, "speed": 1.0, "u": np.zeros(3), "v": np.zeros(3)}
    with pytest.raises(InputError, match="'v' has shape"):
        stack_values(values, QUANTITIES)


@given(st.integers(0, 2**32 - 1))
def test_what_is_read_prints_and_reads_back(seed):
    rng = np.random.default_rng(seed)
    for text in (random_program(rng), any_program(rng)):
        try:
            program = parse_program(text, SIZES)
        except e.ProgramError:
            continue
        assert parse_program(e.print_program(program), SIZES) == program
        assert program.count() <= e.MAX_NODES and 1 <= len(program.terms) <= e.MAX_TERMS


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text):
    for read_one in (parse_program, parse_expression):
        try:
            read_one(text, SIZES)
        except e.ProgramError as error:
            assert 0 <= error.position <= len(text)
