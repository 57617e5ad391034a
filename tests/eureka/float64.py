"""An independent evaluation of reward expressions: Python floats, one number at a time."""

import math

LIMIT = 1e6


def cut(value):
    return 0.0 if math.isnan(value) else min(max(value, -LIMIT), LIMIT)


def scalar(op, args):
    a = args[0]
    b = args[1] if len(args) > 1 else 0.0
    match op:
        case "neg":
            return -a
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "/":
            return a / b if abs(b) >= 1e-6 else 0.0
        case "<" | "<=" | ">" | ">=":
            return float({"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op])
        case "min" | "max":
            return min(a, b) if op == "min" else max(a, b)
        case "clip":
            return min(max(a, b), args[2])
        case "where":
            return b if a != 0 else args[2]
        case "abs":
            return abs(a)
        case "exp":
            return math.exp(min(a, 13.8))
        case "log1p":
            return math.log1p(max(a, -1 + 1e-6))
        case "sqrt":
            return math.sqrt(max(a, 0.0))
        case "sq":
            return a * a
        case "sigmoid":
            return 0.5 * (1.0 + math.tanh(a / 2.0))
    return getattr(math, op)(a)


def evaluate(node, variables):
    """A float or a list of floats."""
    if node.op == "number":
        return node.number
    if node.op == "variable":
        value = variables[node.name]
        return [cut(x) for x in value] if isinstance(value, list) else cut(value)
    if node.op == "index":
        return cut(variables[node.name][node.index])
    args = [evaluate(arg, variables) for arg in node.args]
    width = max((len(a) for a in args if isinstance(a, list)), default=0)
    rows = [a if isinstance(a, list) else [a] * max(width, 1) for a in args]
    if node.op in ("norm", "sum", "mean", "dot"):
        if node.op == "dot":
            return cut(sum(x * y for x, y in zip(*rows, strict=True)))
        if node.op == "norm":
            return cut(math.sqrt(sum(x * x for x in rows[0])))
        return cut(sum(rows[0]) / (len(rows[0]) if node.op == "mean" else 1))
    values = [cut(scalar(node.op, list(column))) for column in zip(*rows, strict=True)]
    return values if width else values[0]
