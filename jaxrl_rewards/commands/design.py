"""`jaxrl-rewards design MODEL.npz`: a reward that teaches faster and keeps the best policy."""

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
from jaxrl_rewards.core.files import atomic_path, atomic_write_json
from jaxrl_rewards.core.tabular import TabularModel, load_tabular_model
from jaxrl_rewards.reward_design import explicable
from jaxrl_rewards.reward_design.explicable.programme import HORIZONS, SLACK, TIE_BREAKS


def main(arguments: Sequence[str]) -> int:
    """Design the reward of a tabular simulator; write its table, picture and numbers."""
    options = parser().parse_args(arguments)
    model = named(load_tabular_model(options.model, options.discount), options)
    if any(not 0 <= goal < model.num_states for goal in options.goals):
        raise InputError(f"--goals must lie in 0 ... {model.num_states - 1}, got {options.goals}")
    start = time.perf_counter()
    record, reward = design(model, options)
    write(options.out, model, record, reward, start, arguments)
    return 0


def parser() -> argparse.ArgumentParser:
    """The verb's arguments."""
    found = argparse.ArgumentParser(
        prog="jaxrl-rewards design",
        description="Design a sparse reward that teaches faster than a task's own and keeps the "
        "same policy optimal. The model is an .npz file with T [S, A, S], R [S, A], init [S] and "
        "terminal (flags [S], or the numbers of states).",
    )
    found.add_argument("model", type=Path, help="the .npz file")
    found.add_argument("--discount", type=float, default=0.95, help="in [0, 1) (default 0.95)")
    found.add_argument(
        "--budget", type=int, default=5, help="states to reward beside the goals (default 5)"
    )
    found.add_argument(
        "--goals", type=int, nargs="+", default=[], help="default: the states that R rewards"
    )
    found.add_argument(
        "--max-reward", type=float, default=10.0, help="bound of |reward| (default 10)"
    )
    found.add_argument(
        "--horizons",
        type=int,
        nargs="+",
        default=list(HORIZONS),
        help="steps that a learner looks ahead",
    )
    found.add_argument("--tie-break", choices=TIE_BREAKS, default="largest")
    found.add_argument("--actions", nargs="+", default=[], help="names of the actions, in order")
    found.add_argument(
        "--grid", type=int, nargs=2, metavar=("ROWS", "COLUMNS"),
        help="draw the first ROWS x COLUMNS states as cells, row 0 at the bottom; needs the "
        "actions up, left, down and right",
    )  # fmt: skip
    found.add_argument("--out", type=Path, default=Path("runs/design"), help="folder to write")
    return found


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
    problem = explicable.DesignProblem.of(
        model, max_reward=options.max_reward, horizons=tuple(options.horizons)
    )

    def report(step: int, objective: float) -> None:
        print(f"{step} of {options.budget} states: {objective:.5g} short of fully informative")

    found = explicable.select_states(
        problem,
        options.goals or model.reward_states,
        options.budget,
        tie_break=options.tie_break,
        report=report,
    )
    reward = found[-1].reward
    # the programme's margins are a little smaller than the gaps themselves
    shortfall = float(problem.shortfall(reward, SLACK).max())
    best = problem.optimal[np.arange(model.num_states), optimal_actions(model, reward)]
    record = {
        "model": model.name,
        "states": model.num_states,
        "actions": model.num_actions,
        "rewarded_states": list(found[-1].states),
        "rewarded_entries": int(np.count_nonzero(reward)),
        "not_informative": [design.objective for design in found],
        "greatest_shortfall_of_a_gap": max(shortfall, 0.0),
        "optimal_policy_kept": bool(best[~model.terminal].all()),
    }
    return record, reward


def optimal_actions(model: TabularModel, reward: np.ndarray) -> np.ndarray:
    """An optimal action per state under another reward than the model's, int `[S]`."""
    q_values, _ = explicable.optimal_values(model.transition, reward, model.discount)
    return np.argmax(q_values, axis=1)


def write(
    out: Path,
    model: TabularModel,
    record: dict[str, Any],
    reward: np.ndarray,
    start: float,
    arguments: Sequence[str],
) -> None:
    """`design.csv`, `design.png` and `design.json` in the folder."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from jaxrl_rewards.studies.provenance import provenance

    explicable.write_design_csv(out / "design.csv", model, reward)
    figure = Figure(figsize=(9.0, 4.2))
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    explicable.draw_design(left, model, model.reward, "the task's own reward")
    explicable.draw_design(
        right, model, reward, f"designed, {len(record['rewarded_states'])} states"
    )
    figure.tight_layout()
    with atomic_path(out / "design.png") as temporary:
        figure.savefig(temporary, dpi=110)
    command = shlex.join(["jaxrl-rewards", "design", *map(str, arguments)])
    record |= provenance(command, time.perf_counter() - start)
    atomic_write_json(out / "design.json", record)
    kept = "stays" if record["optimal_policy_kept"] else "does NOT stay"
    print(
        f"{record['rewarded_entries']} rewards in {len(record['rewarded_states'])} of "
        f"{model.num_states} states; the optimal policy {kept} optimal"
    )
    print(f"results in {out}: design.csv, design.png, design.json")
