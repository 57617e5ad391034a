"""Names and conventions of the vectors for searching reward programs."""

from __future__ import annotations

from jaxrl_rewards.reward_design.eureka import answers, scores
from jaxrl_rewards.reward_design.programs.direct import eval_reward_expression
from jaxrl_rewards.reward_design.programs.expression import ProgramError, print_expression
from jaxrl_rewards.reward_design.programs.parser import parse_expression


def _signature(x):
    found = answers.function_signature(x["code"])
    if found is None:
        return {"ok": False}
    return {"ok": True, "signature": found[0], "inputs": found[1]}


def _parse(x):
    try:
        node = parse_expression(x["expression"], x["allowed_variables"])
    except ProgramError as error:
        return {"ok": False, "error": str(error), "position": error.position}
    return {"ok": True, "nodes": node.count(), "expression": print_expression(node)}


ADAPTERS = {
    "eval_reward_expression": lambda x: {
        "value": eval_reward_expression(x["expression"], x["variables"])
    },
    "extract_reward_code": lambda x: {"code": answers.extract_reward_code(x["response"])},
    "filter_traceback": lambda x: {"traceback": answers.filter_traceback(x["stdout"])},
    "function_signature": _signature,
    "human_normalized_score": lambda x: {
        "score": scores.human_normalized_score(x["method"], x["sparse"], x["human"])
    },
    "parse_reward_expression": _parse,
    "reward_reflection": lambda x: scores.reward_reflection(x["logs"])._asdict(),
    "select_candidate": lambda x: scores.select_candidate(x["fitness"], x["best_so_far"])._asdict(),
}
