"""`jaxrl-rewards evaluate RUN`: a checkpoint on held-out or your own input."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl_rewards.commands.given_reward import stored_reward
from jaxrl_rewards.commands.stored_run import stored_config, stored_task
from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_write_json, refuse_file

EPISODES = 100
"""Of a PPO run, per seed, unless told."""


OWN_FLAGS = ("episodes", "seed", "which")
"""Options that only runs of a policy in a world know; `gui` does not."""


def main(arguments: Sequence[str]) -> int:
    """Evaluate a run's checkpoint, or the pointing policy that ships with the package."""
    from jaxrl_rewards.studies.registry import trainings

    found = trainings()
    options = _options(arguments, found)
    _check(options)
    if options.run in found and found[options.run].ships:
        _refuse_others(options, options.run, found)
        return found[options.run].evaluate(None, _complete(options))
    folder = Path(options.run)
    if not folder.is_dir():
        raise InputError(f"there is no run at {folder}; give a run's folder, or `gui`")
    stored = stored_config(folder)
    for name, train in found.items():
        if train.evaluate is not None and train.owns(folder, stored):
            _refuse_others(options, name, found)
            return train.evaluate(folder, _complete(options))
    _refuse_others(options, "ppo", found)
    return evaluate_run(folder, _complete(options))


def _options(arguments: Sequence[str], found: dict[str, Any]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="jaxrl-rewards evaluate",
        description="Evaluate a checkpoint: the folder of a training run, or `gui` for the "
        "pointing policy that ships with the package.",
    )
    parser.add_argument("run", help="folder of a run, or `gui`")
    parser.add_argument(
        "--episodes",
        type=int,
        help="episodes per seed (default 100); avatars: random starts, in rounds of 64 (default "
        "128), or starts per clip (default 8)",
    )
    parser.add_argument("--seed", type=int, help="seed of the episodes (default 1)")
    parser.add_argument(
        "--which",
        help="latest, best, or an update number (default: latest; avatars: what training kept)",
    )
    parser.add_argument("--out", type=Path, help="folder of the results (default: the run's)")
    parser.add_argument(
        "--reward",
        help="PPO: the function that the run was trained on (FILE.py:NAME or MODULE:NAME), to "
        "score the episodes by it too; programs and tables are kept with the run",
    )
    for train in found.values():
        if train.flags is not None:
            train.flags(parser)
    return parser.parse_args(arguments)


def _check(options: Any) -> None:
    if options.episodes is not None and options.episodes < 1:
        raise InputError(f"--episodes must be at least 1, got {options.episodes}")
    if options.seed is not None and not 0 <= options.seed < 2**32:
        raise InputError(f"--seed must be between 0 and 2**32 - 1, got {options.seed}")


def _refuse_others(options: Any, kind: str, found: dict[str, Any]) -> None:
    """InputError for an option that was given, but means nothing for this kind of run."""
    known, usual = {"ppo": {"reward", *OWN_FLAGS}}, {}
    for name, train in found.items():
        alone = argparse.ArgumentParser()
        if train.flags is not None:
            train.flags(alone)
        usual |= {action.dest: action.default for action in alone._actions}
        own = {action.dest for action in alone._actions} - {"help"}
        known[name] = own if train.ships else own | set(OWN_FLAGS)
    shown = {"ppo": "a run of `train ppo`", "gui": "the pointing policy"}
    for name, value in vars(options).items():
        untold = value is None or value is False or value == usual.get(name)
        if untold or name in {"run", "out", *known[kind]}:
            continue
        belongs = [other for other, names in known.items() if name in names]
        raise InputError(
            f"--{name.replace('_', '-')} means nothing for "
            f"{shown.get(kind, f'a run of `train {kind}`')}; it belongs to "
            f"{' and '.join(f'`train {other}`' for other in belongs)}: leave it out"
        )


def _complete(options: Any) -> Any:
    """The options with the seed that counts where none was given."""
    options.seed = 1 if options.seed is None else options.seed
    return options


def evaluate_run(folder: Path, options: Any) -> int:
    """Play whole episodes with the policy of a PPO run."""
    from jaxrl_rewards.studies.reproduce import summarise

    episodes = options.episodes or EPISODES
    target = options.out or folder
    run = load_run(folder, options)
    refuse_file(target)
    record: dict[str, Any] = {"run": str(folder), "env": run.env.spec.name, "update": run.update}
    record |= {"episodes": episodes, "scored_by": run.scored_by}
    shown = []
    for scored_by, params in run.rewards.items():
        returns = run.play(params, episodes, options.seed)
        prefix = "" if scored_by == run.scored_by else f"{scored_by}_"
        record[f"{prefix}return_per_seed"] = summarise([float(v.mean()) for v in returns])
        record[f"{prefix}episode_returns"] = all_ = summarise(np.concatenate(returns))
        low, high = all_["interval"]
        by = "" if len(run.rewards) == 1 else f" by the {scored_by} reward"
        shown.append(f"{by} {all_['mean']:.2f} [{low:.2f}, {high:.2f}]")
    out = target / "evaluation.json"
    atomic_write_json(out, record)
    print(
        f"{run.env.spec.name}, update {run.update}: mean return{' and'.join(shown)} over "
        f"{episodes} episodes x {run.seeds or 1} seeds"
    )
    if run.note:
        print(run.note)
    print(f"results in {out}")
    return 0


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """A policy of a PPO run and what its episodes are scored by."""

    env: Any
    learner: Any
    state: Any
    update: int
    seeds: int | None
    rewards: dict[str, Any]
    """The world's params by the name of the reward: "own", "given"."""
    scored_by: str
    """Which of them the fields without a prefix are about: that of the training, where known."""
    note: str

    def play(self, params: Any, episodes: int, seed: int) -> list[Any]:
        """Returns of every seed's episodes."""
        import jax

        from jaxrl_rewards.learners.api import one_seed
        from jaxrl_rewards.train.evaluation import evaluate_policy

        found = []
        for index in range(self.seeds or 1):
            single = self.state if self.seeds is None else one_seed(self.state, index)
            key = jax.random.key(seed)
            told = evaluate_policy(self.learner, single, self.env, params, key, episodes)
            found.append(np.asarray(told["returns"]))
        return found


def load_run(folder: Path, options: Any) -> LoadedRun:
    """The run in a folder; InputError where it is none, or damaged.

    A reward that is a function is never made from what a folder says, only from `--reward`: who
    evaluates a run of others runs none of their code.
    """
    from jaxrl_rewards.commands.train_ppo import build_ppo, make_world
    from jaxrl_rewards.train.checkpoint import load_state
    from jaxrl_rewards.train.record import read

    stored = read(folder)
    config = stored.get("config") or {}
    if not isinstance(config, dict):
        raise InputError(f"{folder}/config.json: config must be an object, got {config!r}")
    if config.get("kind") != "ppo":
        raise InputError(f"{folder} holds no PPO run (kind {config.get('kind')!r})")
    task = stored_task(folder, config.get("task"))
    given = stored_reward(config.get("reward"), f"{folder}/config.json")
    terms, note = None, ""
    if options.reward is not None:
        given = _given_again(given, options.reward, folder)
    elif given is not None and given.kind == "function":
        terms = config["reward"]["terms"]
        note = (
            f"the run was trained on {given.given}; to score by it too, name it: --reward "
            f"{given.given}:NAME"
        )
    env, learner = build_ppo(task, None if terms else given, terms)
    rewards = {"own": learner.hparams.env_params}
    if given is not None:
        rewards = {} if terms else {"given": learner.hparams.env_params}
        rewards["own"] = make_world(task).default_params()
    asked = options.which or "latest"
    which = int(asked) if asked.isascii() and asked.isdigit() else asked
    seeds = stored.get("num_seeds")
    state, update = load_state(folder, learner, which=which, num_seeds=seeds)
    return LoadedRun(env, learner, state, update, seeds, rewards, next(iter(rewards)), note)


def _given_again(stored: Any, named: str, folder: Path) -> Any:
    """The reward of `--reward`, if it is the one that the run was trained on."""
    from jaxrl_rewards.commands.given_reward import find_reward

    if stored is None:
        raise InputError(f"{folder} was trained on the world's own reward; leave out --reward")
    again = find_reward(named)
    if again.digest != stored.digest:
        raise InputError(f"--reward {named} is not what {folder} was trained on ({stored.given})")
    return again
