"""`jaxrl-rewards design MODEL.npz`: a reward that teaches faster, with the same best behaviour."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_path, atomic_write_json, refuse_file
from jaxrl_rewards.core.tabular import TabularModel, load_tabular_model
from jaxrl_rewards.reward_design import explicable
from jaxrl_rewards.reward_design.explicable.greedy import ENOUGH
from jaxrl_rewards.reward_design.explicable.programme import HORIZONS, SLACK, TIE_BREAKS

MOST_PAIRS = 2048
MOST_STEPS = 10_000
LARGEST = 1e30
RESULTS = ("design.csv", "design.png", "design.json")
MOST_OF_OWN = 1e3
"""Beyond this multiple of the task's rewards, gaps that the task asks for are lost in rounding."""


def main(arguments: Sequence[str]) -> int:
    """Design the reward of a tabular simulator; write its table, picture and numbers."""
    options = parser().parse_args(arguments)
    model = named(load_tabular_model(options.model, options.discount), options)
    check_goals(model, options.goals)
    check_out(options.out, options.overwrite)
    start = time.perf_counter()
    record, reward = design(model, options)
    write(options.out, model, record, reward, start, arguments)
    discount = "" if options.discount == 0.95 else f" --discount {options.discount:g}"
    table = options.out / RESULTS[0]
    print(f"next: jaxrl-rewards train ppo --env {options.model} --reward {table}{discount}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = argparse.ArgumentParser(
        prog="jaxrl-rewards design",
        description="Design a reward for a task whose model is known: few states are rewarded, a "
        "learner notices good actions after few steps, and what is optimal under the new reward "
        "is optimal for the task. Episodes end in terminal states; these are never rewarded. The "
        "model is an .npz file with T [S, A, S] (chance of each next state), R [S, A] (the task's "
        "reward), init [S] (chance of each first state) and terminal (flags [S], or the numbers of "
        "states).",
    )
    found.add_argument("model", type=Path, help="the .npz file")
    _add_task_options(found)
    _add_reward_options(found)
    found.add_argument("--out", type=Path, default=Path("runs/design"), help="folder to write")
    found.add_argument(
        "--overwrite", action="store_true", help="replace a design that is in the folder already"
    )
    return found


def _add_task_options(found: argparse.ArgumentParser) -> None:
    found.add_argument(
        "--discount",
        type=float,
        default=0.95,
        help="what a reward is worth one step later, in [0, 1) (default 0.95)",
    )
    found.add_argument("--actions", nargs="+", default=[], help="names of the actions, in order")
    found.add_argument(
        "--grid", type=int, nargs=2, metavar=("ROWS", "COLUMNS"),
        help="draw the first ROWS x COLUMNS states as cells, row 0 at the bottom; needs the "
        "actions up, left, down and right",
    )  # fmt: skip


def _add_reward_options(found: argparse.ArgumentParser) -> None:
    found.add_argument(
        "--budget",
        type=int,
        default=5,
        help="reward at most this many states in addition to the goals (default 5); fewer if more "
        "would not help",
    )
    found.add_argument(
        "--goals",
        type=int,
        nargs="+",
        default=[],
        help="states that are rewarded in any case (default: those in which R is not 0)",
    )
    found.add_argument(
        "--max-reward",
        type=float,
        default=None,
        help="largest reward or penalty, at most 1000 times the largest |R| of the task (default: "
        "the largest |R|)",
    )
    found.add_argument(
        "--horizons",
        type=int,
        nargs="+",
        default=list(HORIZONS),
        help="after how many steps the best action should be seen to be better (default "
        f"{' '.join(map(str, HORIZONS))})",
    )
    found.add_argument(
        "--tie-break",
        choices=TIE_BREAKS,
        default="largest",
        help="among equally good rewards: the one with the largest sum (fewest penalties), with "
        "the least sum of absolute values, or the one that the solver finds first (default "
        "largest)",
    )


def check_out(out: Path, overwrite: bool) -> None:
    """InputError for a file in the folder's place, and for a folder that holds another design."""
    refuse_file(out)
    there = [name for name in RESULTS if (out / name).exists()]
    if there and not overwrite:
        raise InputError(
            f"{out / there[0]} is there already; give another folder with --out, or --overwrite"
        )


def check_goals(model: TabularModel, goals: Sequence[int]) -> None:
    """InputError unless every goal is a state in which an episode goes on."""
    if any(not 0 <= goal < model.num_states for goal in goals):
        raise InputError(f"--goals must lie in 0 ... {model.num_states - 1}, got {list(goals)}")
    ends = [goal for goal in goals if model.terminal[goal]]
    if ends:
        raise InputError(
            f"--goals names state {ends[0]}, which is terminal: the episode is over there; name "
            "the states from which it is reached"
        )


def named(model: TabularModel, options: Any) -> TabularModel:
    """The model with the names of its actions and the shape of its grid."""
    if options.actions and len(options.actions) != model.num_actions:
        raise InputError(
            f"--actions names {len(options.actions)} actions, but {model.name} has "
            f"{model.num_actions}"
        )
    if len(set(options.actions)) != len(options.actions):
        raise InputError(f"--actions names one action twice: {' '.join(options.actions)}")
    if options.grid is None:
        return dataclasses.replace(model, action_names=tuple(options.actions))
    rows, columns = options.grid
    if min(rows, columns) < 1 or rows * columns > model.num_states:
        raise InputError(
            f"--grid {rows} {columns} does not fit the {model.num_states} states of {model.name}"
        )
    if sorted(options.actions) != ["down", "left", "right", "up"]:
        raise InputError(
            "--grid needs --actions with up, left, down and right in the model's order"
        )
    return dataclasses.replace(
        model, action_names=tuple(options.actions), grid_shape=(rows, columns)
    )


def design(model: TabularModel, options: Any) -> tuple[dict[str, Any], np.ndarray]:
    """What to store about the design, and the reward `[S, A]`."""
    largest = checked_bound(model, options)
    problem = explicable.DesignProblem.of(
        model, max_reward=largest, horizons=tuple(options.horizons)
    )

    def report(step: int, objective: float) -> None:
        missing = f"is still {objective:.3g} too small" if objective > 0.0 else "is large enough"
        print(
            f"state {step} of at most {options.budget} added: on average the best action's "
            f"advantage {missing}"
        )

    found = explicable.select_states(
        problem,
        options.goals or model.reward_states,
        options.budget,
        tie_break=options.tie_break,
        report=report,
    )
    chosen = checked_design(model, problem, found, options.tie_break)
    # the required gaps are divided by SLACK, so that the task's own reward is a solution
    shortfall = float(problem.shortfall(chosen.reward, SLACK).max())
    record = {
        "model": model.name,
        "states": model.num_states,
        "actions": model.num_actions,
        "action_names": list(model.action_names),
        "terminal_states": np.flatnonzero(model.terminal).tolist(),
        "max_reward": largest,
        "rewarded_states": list(chosen.states),
        "rewarded_entries": int(np.count_nonzero(chosen.reward)),
        "not_informative": [
            design.objective for design in found if len(design.states) <= len(chosen.states)
        ],
        "greatest_shortfall_of_a_gap": max(shortfall, 0.0),
    }
    return record, chosen.reward


def checked_bound(model: TabularModel, options: Any) -> float:
    """The largest reward that is allowed; InputError for sizes that the design cannot take."""
    pairs = model.num_states * model.num_actions
    if pairs > MOST_PAIRS:
        raise InputError(
            f"{model.name} has {pairs} pairs of state and action, more than the {MOST_PAIRS} that "
            "fit into memory; merge states"
        )
    if max(options.horizons) > MOST_STEPS:
        raise InputError(f"--horizons must be at most {MOST_STEPS}, got {max(options.horizons)}")
    if not model.reward_states:
        raise InputError(
            f"R of {model.name} is 0 everywhere, so no action is better than another; give the "
            "task's reward"
        )
    own = float(np.abs(model.reward).max())
    bound = own if options.max_reward is None else options.max_reward
    for name, size in (("the largest |R|", own), ("--max-reward", bound)):
        if 0.0 < size < 1.0 / LARGEST or size > LARGEST:
            raise InputError(
                f"{name} is {size:.3g} for {model.name}; use units in which it lies between "
                f"{1.0 / LARGEST:g} and {LARGEST:g}"
            )
    if bound > MOST_OF_OWN * own:
        raise InputError(
            f"--max-reward is {bound:g}, but it may be at most {MOST_OF_OWN:g} times the largest "
            f"|R| of {model.name}, which is {own:g}: beyond it the task is lost in rounding; give "
            f"at most {MOST_OF_OWN * own:g}"
        )
    return bound


def checked_design(
    model: TabularModel,
    problem: explicable.DesignProblem,
    found: Sequence[explicable.Design],
    rule: str,
) -> explicable.Design:
    """The design with the most states that an independent solver finds to keep what is optimal.

    Programmes are solved within a tolerance that gaps may be smaller than: then other solutions of
    the same programme are tried, then fewer states. InputError where none passes.
    """
    verdict = None
    for design in reversed(found):
        for other in (rule, *(name for name in TIE_BREAKS if name != rule)):
            tried = design
            if other != rule:
                tried = explicable.solve_explicable(problem, design.states, tie_break=other)
            result = explicable.check_design(model, tried.reward)
            if result.kept:
                return tried
            verdict = verdict or result
    raise InputError(
        f"no designed reward passed the check: in state {model.state_name(verdict.state)} action "
        f"{model.action_name(verdict.action)} would be as good as the best, though the task loses "
        f"{verdict.loss:.3g} by it; raise --max-reward, name other --goals, or choose a --discount "
        "further from 0 and from 1"
    )


def write(
    out: Path,
    model: TabularModel,
    record: dict[str, Any],
    reward: np.ndarray,
    start: float,
    arguments: Sequence[str],
) -> None:
    """`design.csv`, `design.png` and `design.json` in the folder; what is written is read back."""
    from jaxrl_rewards.studies.provenance import provenance

    explicable.write_design_csv(out / "design.csv", model, reward)
    written = explicable.read_design_csv(out / "design.csv", model)
    verdict = explicable.check_design(model, written)
    if not verdict.kept or not np.array_equal(written, reward):
        (out / "design.csv").unlink()
        raise InputError(f"{out / 'design.csv'} does not read back as written; check the disk")
    draw(out / "design.png", model, reward, len(record["rewarded_states"]))
    command = shlex.join(["jaxrl-rewards", "design", *map(str, arguments)])
    record |= {"optimal_policy_kept": verdict.kept}
    record |= provenance(command, time.perf_counter() - start)
    atomic_write_json(out / "design.json", record)
    print(
        f"{record['rewarded_entries']} rewards in {len(record['rewarded_states'])} of "
        f"{model.num_states} states; the optimal policy stays optimal: a second solver finds "
        "nothing optimal under the new reward that is not optimal for the task"
    )
    short = record["not_informative"][-1]
    if short <= ENOUGH * record["max_reward"]:
        print("the best action's advantage shows at every horizon; more states would not help")
    print(f"results in {out}: {', '.join(RESULTS)}")


def draw(path: Path, model: TabularModel, reward: np.ndarray, states: int) -> None:
    """The task's own reward beside the designed one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.2))
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    explicable.draw_design(left, model, model.reward, "the task's own reward")
    explicable.draw_design(right, model, reward, f"designed, {states} states")
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
