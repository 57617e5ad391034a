"""The words for a language model: the language, the task, what happened, what went wrong."""

from __future__ import annotations

from jaxrl_rewards.reward_design.eureka.candidates import Candidate
from jaxrl_rewards.reward_design.eureka.proposers import Context
from jaxrl_rewards.reward_design.programs.expression import (
    ELEMENTWISE,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_NODES,
    MAX_TERMS,
    REDUCTIONS,
    TOTAL_LIMIT,
)

SYSTEM = f"""You design reward functions for reinforcement learning. Answer with one reward
program in a fenced block and nothing else in that block.

A program has 1 to {MAX_TERMS} lines `name = expression`. The reward of a step is the sum of the
lines, cut to plus or minus {TOTAL_LIMIT:g}. Expressions are made of numbers, the quantities
listed below, `+ - * /`, parentheses, `vector[index]`, {", ".join(ELEMENTWISE)} (one argument),
{", ".join(REDUCTIONS)} (of a vector), dot, min, max (two), clip(x, low, high) and
where(a < b, x, y). Comparisons stand only inside where. There is nothing else: no comments, no
Python, no other names. At most {MAX_CHARACTERS} characters, {MAX_NODES} operations and
{MAX_DEPTH} levels of nesting. Every line must be a number, not a vector.

Example:
```
near = exp(-distance / 0.5)
calm = -0.01 * sq(norm(torque))
```"""

ADVICE = """Write a better program. If the task score stays near 0, write a new program. A term
that hardly changes teaches nothing: rescale it, change its temperature, rewrite it or drop it. A
term much larger than the others drowns them: scale it down. Bound terms with exp or tanh, each
with a temperature of its own."""

_DIRECTIONS = {1: "more is better", -1: "less is better", 0: "neither way is better"}


def messages(context: Context) -> list[dict[str, str]]:
    """The conversation that asks for the next program."""
    question = f"Task: {context.task or 'solve the task.'}\n\n{quantity_list(context)}"
    found = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": question},
    ]
    if context.best is not None:
        found.append({"role": "assistant", "content": f"```\n{context.best.proposal.text}\n```"})
        found.append({"role": "user", "content": review(context)})
    elif failed := context.failures():
        found[-1]["content"] += "\n\n" + failure_list(failed)
    return found


def quantity_list(context: Context) -> str:
    """One line per quantity."""
    lines = ["Quantities:"]
    for name, quantity in context.quantities.items():
        kind = f"vector of {quantity.shape[0]}" if quantity.shape else "number"
        wish = _DIRECTIONS.get(quantity.direction, "")
        facts = ", ".join(filter(None, [kind, quantity.unit, f"about {quantity.scale:g}", wish]))
        lines.append(f"- {name} ({facts}): {quantity.text}")
    return "\n".join(lines)


def review(context: Context) -> str:
    """What the shown program did, what failed meanwhile, and the advice."""
    parts = []
    if context.reflection:
        parts.append(
            "A policy was trained with this program. Values in the course of training:\n"
            + "\n".join(context.reflection)
        )
    if failed := context.failures():
        parts.append(failure_list(failed))
    return "\n\n".join([*parts, ADVICE])


def failure_list(failed: list[Candidate], most: int = 4) -> str:
    """The reasons why programs could not be used, each once."""
    reasons = list(dict.fromkeys(f"{c.status}: {c.error}"[:300] for c in failed))[:most]
    lines = "\n".join(f"- {reason}" for reason in reasons)
    return f"{len(failed)} of the last programs could not be used:\n{lines}"
