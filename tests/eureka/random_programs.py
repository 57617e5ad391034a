"""Programs at random: grammatical ones, soups of tokens, soups of characters, and mutations."""

import numpy as np

from jaxrl_rewards.core.quantities import Quantity
from jaxrl_rewards.reward_design.programs.expression import ARITY

QUANTITIES = {
    "dist": Quantity((), "m", 2.0, -1, "Distance to the goal."),
    "speed": Quantity((), "m/s", 1.0, 1, "Speed towards the goal."),
    "u": Quantity((3,), "N", 0.5, 0, "Action."),
    "v": Quantity((2,), "m/s", 1.0, None, "Velocity."),
}
SCALARS, VECTORS = ("dist", "speed", "u[0]", "u[2]", "v[1]"), ("u", "v")
REDUCERS = ("norm", "sum", "mean")
FUNCTIONS = tuple(ARITY)
PIECES = (
    *("dist", "speed", "u", "v", "goal", "success", "u[1]", "v[7]", "u[-1]", "__class__", "lambda"),
    *FUNCTIONS,
    *("(", ")", "[", "]", ",", "+", "-", "*", "/", "<", "<=", ">", ">=", "=", "==", "**", "//"),
    *("0", "1.5", ".5", "1e6", "1e7", "1e999", "0x1f", "1e-30", "\n", " ", "\t", "#", ".", ";"),
    *('"', "'", "\\", "import os", "eval(", "__import__", "é", "\0", "\u2028", "𝟙", "if", "for"),
)


def random_expression(rng, depth=3):
    """A grammatical scalar expression (it may still exceed a limit)."""
    kind = rng.integers(0, 9) if depth else rng.integers(0, 2)
    if kind == 0:
        return f"{rng.choice([0.0, 0.1, 1.0, 3.5, 1e3, 1e6]) * rng.random():.4g}"
    if kind == 1:
        return str(rng.choice(SCALARS))
    if kind == 2:
        return f"-{random_expression(rng, depth - 1)}"
    if kind == 3:
        return f"({random_expression(rng, depth - 1)})"
    if kind == 4:
        vector = str(rng.choice(VECTORS))
        inner = f"{vector} {rng.choice(['+', '*', '/'])} {random_expression(rng, depth - 1)}"
        return f"{rng.choice(REDUCERS)}({inner})"
    if kind == 5:
        sign = rng.choice(["<", "<=", ">", ">="])
        parts = [random_expression(rng, depth - 1) for _ in range(4)]
        return f"where({parts[0]} {sign} {parts[1]}, {parts[2]}, {parts[3]})"
    if kind == 6:
        name = str(rng.choice(FUNCTIONS))
        parts = [random_expression(rng, depth - 1) for _ in range(ARITY[name])]
        return f"{name}({', '.join(parts)})"
    sign = rng.choice(["+", "-", "*", "/"])
    return f"{random_expression(rng, depth - 1)} {sign} {random_expression(rng, depth - 1)}"


def random_program(rng):
    """Grammatical lines."""
    count = int(rng.integers(1, 4))
    depth = int(rng.integers(1, 4))
    return "\n".join(f"term{i} = {random_expression(rng, depth)}" for i in range(count))


def mutate(rng, text):
    """A few pieces or characters put in, taken out, doubled or exchanged."""
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, len(text) + 1))
        end = min(len(text), at + int(rng.integers(1, 6)))
        choice = rng.integers(0, 4)
        if choice == 0:
            text = text[:at] + str(rng.choice(PIECES)) + text[at:]
        elif choice == 1:
            text = text[:at] + text[end:]
        elif choice == 2:
            text = text[:at] + text[at:end] * int(rng.integers(2, 40)) + text[end:]
        else:
            text = text[:at] + chr(int(rng.integers(1, 0x2FF))) + text[end:]
    return text


def any_program(rng):
    """One of the four kinds."""
    kind = rng.integers(0, 10)
    if kind < 4:
        return random_program(rng)
    if kind < 8:
        return mutate(rng, random_program(rng))
    if kind == 8:
        return "".join(map(str, rng.choice(PIECES, size=int(rng.integers(1, 40)))))
    return "".join(map(chr, rng.integers(0, 0x250, size=int(rng.integers(0, 1200)))))


def extreme_inputs(rng, rows=8):
    """Finite inputs from tiny to the largest float32; by name, `[rows, ...]`."""
    pool = [0.0, -0.0, 1.0, -1.0, 1e-38, -1e-7, 1e-6, 13.8, 1e6, -1e6, 1e20, 3e38, -3e38, np.pi]
    found = {}
    for name, quantity in QUANTITIES.items():
        found[name] = rng.choice(pool, size=(rows, *quantity.shape)).astype(np.float32)
    return found
