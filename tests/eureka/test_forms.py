"""The value of a program: direct, as a tape, as slots, and in float64 by other code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.quantities import Quantity
from jaxrl_rewards.reward_design.programs import direct, slots, tape
from jaxrl_rewards.reward_design.programs.expression import ProgramError, print_program
from jaxrl_rewards.reward_design.programs.parser import parse_expression, parse_program
from jaxrl_rewards.reward_design.programs.quantities import stack_values
from jaxrl_rewards.reward_design.programs.reward import ProgramReward
from tests.eureka import float64
from tests.eureka.random_programs import QUANTITIES, extreme_inputs, random_program

stack_rows = jax.jit(jax.vmap(lambda values: stack_values(values, QUANTITIES)))
run_population = jax.jit(jax.vmap(jax.vmap(tape.run_tape, (None, 0)), (0, None)))


def mild_inputs(rng, rows):
    return {
        name: rng.normal(0.0, 2.0, (rows, *quantity.shape)).astype(np.float32)
        for name, quantity in QUANTITIES.items()
    }


def programs(seed, count):
    rng, found = np.random.default_rng(seed), []
    while len(found) < count:
        try:
            found.append(parse_program(random_program(rng), QUANTITIES))
        except ProgramError:
            continue
    return found


def at(values, row):
    return {name: value[row].tolist() for name, value in values.items()}


def test_the_tape_agrees_with_float64():
    some, values = programs(1, 64), mild_inputs(np.random.default_rng(2), 4)
    population = tape.stack_tapes([tape.compile_tape(p, QUANTITIES) for p in some])
    found = np.asarray(run_population(population, stack_rows(values)))
    agreed = 0
    for number, program in enumerate(some):
        for row in range(4):
            expected = [float64.evaluate(node, at(values, row)) for _, node in program.terms]
            # float32 decides a comparison or a protected division otherwise near its edge only
            np.testing.assert_allclose(
                found[number, row, : len(expected)], expected, rtol=2e-3, atol=2e-3
            )
            agreed += 1
        assert not found[number, :, len(program.terms) :].any()
    assert agreed == 256


@pytest.mark.slow
def test_the_direct_form_agrees_with_the_tape():
    for program in programs(3, 5):
        values = mild_inputs(np.random.default_rng(4), 1)
        total, terms = direct.evaluate_program(program, {k: v[0] for k, v in values.items()})
        one = tape.run_tape(
            jax.tree.map(jnp.asarray, tape.compile_tape(program, QUANTITIES)), stack_rows(values)[0]
        )
        np.testing.assert_allclose(one[: len(terms)], list(terms.values()), rtol=1e-4, atol=1e-4)
        assert abs(float(total)) <= 10.0


def test_every_function_against_float64():
    lines = [
        *(f"{name}(dist)" for name in ("abs", "exp", "log1p", "sqrt", "sq", "tanh", "sigmoid")),
        *("sin(dist)", "cos(dist)", "norm(u)", "sum(u)", "mean(u)", "dot(u, u * 2)", "norm(dist)"),
        *("min(dist, speed)", "max(dist, 1)", "div(speed, dist)", "clip(speed, -1, 0.5)"),
        *("where(dist > speed, 1, 2)", "where(dist <= 0, u[0], u[1])", "mean(u) - mean(v)"),
        *("where(dist >= 0, 1, 2)", "where(dist < 0, 1, 2)", "sum(where(u > 0, u, -u))"),
    ]
    rng = np.random.default_rng(5)
    values = mild_inputs(rng, 16)
    edges = [0.0, -0.0, 1e-7, -9e-7, 1.1e-6, 20.0, -20.0, 1e6]
    values["dist"] = np.concatenate([values["dist"][:8], np.asarray(edges, np.float32)])
    tapes, expected = [], []
    for line in lines:
        node = parse_expression(line, QUANTITIES)
        program = parse_program(f"t = {line}", QUANTITIES)
        tapes.append(tape.compile_tape(program, QUANTITIES))
        expected.append([float64.evaluate(node, at(values, row)) for row in range(16)])
    padded = tapes + [tape.empty_tape()] * (64 - len(tapes))
    values = {name: value.reshape(4, 4, *value.shape[1:]) for name, value in values.items()}
    for part in range(4):
        rows = stack_rows({name: value[part] for name, value in values.items()})
        found = np.asarray(run_population(tape.stack_tapes(padded), rows))[: len(lines), :, 0]
        wanted = np.asarray(expected)[:, 4 * part : 4 * part + 4]
        for line, one, other in zip(lines, found, wanted, strict=True):
            # float32 loses the phase of a million radians and the last digits of 1 - 1e-6
            usable = np.abs(rows[:, 0, 0]) < (1e3 if line[:3] in ("sin", "cos") else np.inf)
            tolerance = 1e-3 if line.startswith("log1p") else 2e-5
            np.testing.assert_allclose(
                one[usable], other[usable], rtol=tolerance, atol=1e-6, err_msg=line
            )


def test_extreme_inputs_give_finite_terms_and_gradients():
    some = programs(6, 64)
    population = tape.stack_tapes([tape.compile_tape(p, QUANTITIES) for p in some])
    rng = np.random.default_rng(7)
    for _ in range(4):
        found = np.asarray(run_population(population, stack_rows(extreme_inputs(rng, 4))))
        assert np.isfinite(found).all() and np.abs(found).max() <= 1e6
    slope = jax.jit(
        jax.vmap(jax.grad(lambda x, one: jnp.sum(tape.run_tape(one, x))), in_axes=(None, 0))
    )
    for values in (np.zeros((4, 3)), rng.normal(0.0, 3.0, (4, 3))):
        assert np.isfinite(slope(jnp.asarray(values, jnp.float32), population)).all()


@pytest.mark.parametrize(
    ("text", "point", "slope"),
    [
        ("norm(v)", [3.0, 4.0], [0.6, 0.8]),
        ("norm(v)", [0.0, 0.0], [0.0, 0.0]),
        ("sqrt(v[0])", [0.0, 1.0], [0.0, 0.0]),
        ("v[1] / v[0]", [0.0, 1.0], [0.0, 0.0]),
        ("exp(v[0])", [20.0, 0.0], [0.0, 0.0]),
        ("sq(v[0]) * v[1]", [2.0, 3.0], [12.0, 4.0]),
    ],
)
def test_gradients_are_safe_where_values_are_protected(text, point, slope):
    node = parse_expression(text, {"v": QUANTITIES["v"]})
    found = jax.grad(lambda v: direct.evaluate_expression(node, {"v": v}))(jnp.asarray(point))
    np.testing.assert_allclose(found, slope, atol=1e-6)


STEEP = [
    "x" + "/ 0.000001" * 7,
    "x" + " * 1000000" * 7,
    "(x" + " * 1000000" * 7 + ") * y",
    "1 / (1 / (1 / (1 / (1 / (1 / x)))))",
    "sqrt(x) / 0.000001 / 0.000001 * sqrt(y)",
    "exp(x * 1000000) * exp(y * 1000000) * 1000000 * 1000000",
]


def test_chains_steeper_than_a_float_holds_have_finite_gradients_both_ways():
    table = {name: Quantity((), "", 1.0, 0, "") for name in ("x", "y")}
    texts = ["r = " + text for text in STEEP]
    tapes = tape.stack_tapes(
        [tape.compile_tape(parse_program(text, table), table) for text in texts]
    )

    def total(v, one):
        return jnp.sum(tape.run_tape(one, stack_values({"x": v[0], "y": v[1]}, table)))

    points = jnp.array([[0.0, 0.0], [1e-6, -1e-6], [1e-38, 1.0], [1.0, 2.0], [-1.0, 0.0]])
    for transform in (jax.jacfwd, jax.jacrev):
        slope = jax.vmap(jax.vmap(transform(total), in_axes=(0, None)), in_axes=(None, 0))
        assert np.isfinite(jax.jit(slope)(points, jax.tree.map(jnp.asarray, tapes))).all()
    for text in STEEP:
        node = parse_expression(text, table)
        for transform in (jax.jacfwd, jax.jacrev):
            slope = transform(
                lambda v, node=node: direct.evaluate_expression(node, {"x": v[0], "y": v[1]})
            )
            assert np.isfinite(jax.vmap(slope)(points)).all(), text


SCALARS = {name: q for name, q in QUANTITIES.items() if not q.shape}


def test_slots_are_programs_and_read_back():
    some = tuple(
        slots.Slot(("dist", "speed")[i % 2], shape, weight, 0.5)
        for i, (shape, weight) in enumerate(
            [("identity", -1.5), ("exp", 2.0), ("gauss", 0.25), ("tanh", -3.0)]
        )
    )
    square = (slots.Slot("dist", "square", 0.1),)
    for chosen in (some, square, some[:2]):
        program = slots.program_of(chosen, SCALARS)
        text = print_program(program)
        assert parse_program(text, SCALARS) == program
        back = slots.slots_of(program)
        assert [(s.quantity, s.shape, s.weight) for s in back] == [
            (s.quantity, s.shape, s.weight) for s in chosen
        ]
        compiled = jax.tree.map(jnp.asarray, slots.compile_slots(chosen, SCALARS))
        values = stack_values({"dist": 0.7, "speed": -1.3}, SCALARS)
        _, terms = direct.evaluate_program(program, {"dist": 0.7, "speed": -1.3})
        found = slots.run_slots(compiled, values)
        np.testing.assert_allclose(found[: len(chosen)], list(terms.values()), rtol=1e-5)
        assert not found[len(chosen) :].any()


def test_only_slot_shapes_are_read_as_slots():
    read = lambda text: slots.slots_of(parse_program(text, SCALARS))  # noqa: E731
    assert read("a = -dist\nb = 2 * exp(-abs(speed))") == (
        slots.Slot("dist", weight=-1.0),
        slots.Slot("speed", "exp", 2.0),
    )
    for text in ("a = dist * speed", "a = exp(dist)", "a = dist + 1", "a = 1", "a = sq(dist)"):
        assert read(text) is None
    assert read("\n".join(f"t{i} = dist" for i in range(5))) is None


@pytest.mark.parametrize(
    "wrong",
    [
        (slots.Slot("goal"),),
        (slots.Slot("u"),),
        (slots.Slot("dist", "cube"),),
        (slots.Slot("dist", "exp", 1.0, 0.0),),
        (slots.Slot("dist"),) * 5,
    ],
)
def test_wrong_slots_are_refused(wrong):
    with pytest.raises(InputError):
        slots.compile_slots(wrong, QUANTITIES)


def test_a_tape_too_small_is_refused():
    program = parse_program("a = dist + speed\nb = 1", QUANTITIES)
    with pytest.raises(InputError, match="4 nodes and 2 terms"):
        tape.compile_tape(program, QUANTITIES, instructions=3)
    with pytest.raises(InputError, match="4 nodes and 2 terms"):
        tape.compile_tape(program, QUANTITIES, terms=1)


def measure(prev, action, nxt):
    return stack_values(nxt, SCALARS)


def success(prev, action, nxt):
    return nxt["dist"] < 0.5


def test_the_reward_clips_its_total_and_logs_success():
    program = parse_program("far = -dist\nfast = 3 * speed", SCALARS)
    compiled = tape.compile_tape(program, SCALARS)
    reward = ProgramReward(
        program=jax.tree.map(jnp.asarray, compiled), measure=measure, success=success
    )
    total, terms = reward(None, None, {"dist": 0.25, "speed": 1.0})
    assert float(total) == 2.75 and float(terms["success"]) == 1.0
    assert float(terms["term_0"]) == -0.25 and float(terms["term_1"]) == 3.0
    total, terms = reward(None, None, {"dist": 2.0, "speed": 100.0})
    assert float(total) == 10.0 and float(terms["success"]) == 0.0
    out = reward.evaluate(None, None, {"dist": 2.0, "speed": 1.0})
    assert float(reward.combine(out.terms, out.applicable)) == float(out.total) == 1.0
    assert not bool(out.applicable["term_2"]) and bool(out.applicable["success"])
