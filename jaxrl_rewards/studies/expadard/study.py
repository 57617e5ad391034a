"""Learner-adaptive reward design: the reward follows what the learner does now."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core.tabular import TabularModel
from jaxrl_rewards.reward_design import explicable
from jaxrl_rewards.studies.api import (
    Study,
    StudyResult,
    Verdict,
    bootstrap_interval,
    difference_interval,
)

ARMS = ("R̄", "any feasible", "ExpRD B=5", "one-shot", "adaptive")
SQUARES = (0, 3, 4, 21, 28, 24, 31, 25, 32)
"""First cells of the 3×3 squares that share a reward, row by row on the 7×7 rooms."""
WORLDS = {"": "action", ", noise to neighbours": "neighbour"}
"""What an arm's name gains, and what the noise of the rooms does."""


@dataclasses.dataclass(frozen=True)
class ExpAdaRDConfig:
    """Sizes and numbers of the study; the defaults are what the claim is about.

    The authors' rooms have two kinds of noise: the action is drawn anew (2022), or the agent goes
    to another neighbour (2021). The paper does not say which, and it decides whether a
    reward designed once is slower than one that follows the learner. Both are run; the claim is
    judged under the later kind, which was decided after seeing both with another root key than
    the study's and the earlier kind with the study's own; the verdict shows the other beside it.

    One-shot needs only about 1.06 times the episodes of adaptive, and 8 seeds do not tell that
    from 1: on the study's own root key they gave a mean log ratio of .049 [-.004, .109]. So the
    number of seeds was chosen on root keys 101, 202 and 303: with 32 the ratios were .056, .064
    and .059, each with its interval above 0. What the method leaves open does not explain why the
    gap is small: on root key 77 it stayed within .06 to .09 with the other of two tied actions as
    the target, with ties drawn at random, with the advantages of the softened teacher, and with
    its randomness on the other actions only; learning rates of .02, .05 and .1 gave .06, .08, .11.
    Ties between ExpRD's rewards are broken in its favour: there its mean share was .018 with the
    largest sum, .015 with the least absolute sum, .012 with the solver's own.
    """

    seeds: int = 32
    root_key: int = 2024
    """All that is random comes from this key."""
    noise: float = 0.1
    episodes: int = 12_000
    design_every: int = 100
    """Episodes between designs; the policy is evaluated as often."""
    steps: int = 30
    """Time limit of an episode."""
    learner_period: int = 2
    """Episodes between the learner's updates, which use the last 5."""
    learner_rate: float = 0.03
    max_reward: float = 10.0
    teacher_epsilon: float = 0.4

    def __post_init__(self):
        for name in ("seeds", "steps", "learner_period"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.episodes % self.design_every or self.design_every % self.learner_period:
            raise ValueError(
                f"design_every={self.design_every} must divide episodes={self.episodes} and be a "
                f"multiple of learner_period={self.learner_period}"
            )


def square_features(model: TabularModel) -> np.ndarray:
    """`[S, 10]`: membership in nine 3×3 squares, which overlap, and the goal cell."""
    _, columns = model.grid_shape
    features = np.zeros((model.num_states, len(SQUARES) + 1))
    for index, first in enumerate(SQUARES):
        cells = first + columns * np.arange(3)[:, None] + np.arange(3)
        features[cells.reshape(-1), index] = 1.0
    features[model.reward_states[0], -1] = 1.0
    return features


def fixed_rewards(teacher: explicable.AdaptiveTeacher) -> dict[str, np.ndarray]:
    """The rewards of all arms at the start; those of all but the last stay."""
    model = teacher.model
    uniform = np.full((1, model.num_states, model.num_actions), 1.0 / model.num_actions)
    one_shot = teacher.design(uniform)[0].reward
    sparse = explicable.select_states(teacher.problem, model.reward_states, 5, tie_break="largest")[
        -1
    ]
    rewards = (model.reward, teacher.any_design().reward, sparse.reward, one_shot, one_shot)
    return dict(zip(ARMS, rewards, strict=True))


def make_chunk(model: TabularModel, config: ExpAdaRDConfig):
    """`chunk(keys [N], state, rewards)`: episodes between two designs; `[arms, N]` leading axes."""
    sampler = explicable.make_sampler(model)

    def learn(key, state, reward):
        return explicable.reinforce_chunk(
            key,
            state,
            sampler,
            reward,
            model.discount,
            config.learner_rate,
            updates=config.design_every // config.learner_period,
            episodes=config.learner_period,
            steps=config.steps,
        )

    return jax.jit(jax.vmap(jax.vmap(learn), (None, 0, 0)), donate_argnums=1)


def learning_curves(
    teacher: explicable.AdaptiveTeacher,
    config: ExpAdaRDConfig,
    report: Callable[[str, float], None],
) -> tuple[np.ndarray, dict[str, np.ndarray], list[np.ndarray]]:
    """Shares of the optimal value `[arms, seeds, points]`, fixed rewards, and some adaptive ones.

    Rewards of the first seed's adaptive arm are kept at the start, after a tenth, a quarter, a
    half and at the end.
    """
    model = teacher.model
    shape = (model.num_states, model.num_actions)
    fixed = fixed_rewards(teacher)
    rewards = np.repeat(np.stack(list(fixed.values()))[:, None], config.seeds, axis=1)
    start = explicable.reinforce_start(shape, 5)
    lead = (len(ARMS), config.seeds)
    state = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*lead, *leaf.shape)).copy(), start)
    chunk = make_chunk(model, config)
    keys = jax.random.split(jax.random.key(config.root_key), config.seeds)
    fold = jax.jit(jax.vmap(jax.random.fold_in, (0, None)))
    chunks = config.episodes // config.design_every
    shown = {0, chunks // 10, chunks // 4, chunks // 2, chunks - 1}
    policies, kept = [], []
    for index in range(chunks):
        policy = np.asarray(explicable.softmax_policy(state.theta), np.float64)
        policies.append(policy)
        rewards[-1] = np.stack([design.reward for design in teacher.design(policy[-1])])
        if index in shown:
            kept.append(rewards[-1, 0].copy())
        state = chunk(fold(keys, index), state, jnp.asarray(rewards, jnp.float32))
        if index % max(1, chunks // 20) == 0:
            report(f"episode {(index + 1) * config.design_every}", (index + 1) / chunks)
    policies.append(np.asarray(explicable.softmax_policy(state.theta), np.float64))
    return explicable.share_of_optimal(model, np.stack(policies, axis=2)), fixed, kept


def run(config: ExpAdaRDConfig, report: Callable[[str, float], None]) -> StudyResult:
    """All arms and seeds side by side, in both rooms; one programme per seed and design."""
    from jaxrl_envs.control import rooms_model

    episodes = np.arange(config.episodes // config.design_every + 1) * config.design_every
    table: dict[str, dict[str, list[float]]] = {}
    curves: dict[str, dict[str, Any]] = {}
    shown = {}
    for number, (ending, kind) in enumerate(WORLDS.items()):

        def progress(text, fraction, number=number, kind=kind):
            report(f"noise: {kind}, {text}", (number + fraction) / len(WORLDS))

        model = rooms_model(noise=config.noise, noise_kind=kind)
        teacher = explicable.AdaptiveTeacher(
            model,
            epsilon=config.teacher_epsilon,
            features=square_features(model),
            max_reward=config.max_reward,
        )
        progress("designing", 0.0)
        measured, fixed, kept = learning_curves(teacher, config, progress)
        shown[kind] = (model, fixed, kept)
        curve: dict[str, Any] = {"x": episodes, "xlabel": "episode"}
        for arm, values in zip(ARMS, measured, strict=True):
            curve[arm] = values
            table[arm + ending] = arm_row(values, episodes)
        curves[f"share of V*{ending}"] = curve
    budget = {
        "episodes per seed": config.episodes,
        "steps per episode at most": config.steps,
        "programmes solved by the adaptive arm": config.seeds * (len(episodes) - 1),
    }
    model, fixed, kept = shown["action"]
    return StudyResult(
        arms=table,
        curves=curves,
        budget=budget,
        figures={
            "expadard_rewards.png": lambda figure: draw_rewards(figure, model, fixed, kept),
        },
        files={
            "expadard_reward.csv": lambda path: explicable.write_design_csv(path, model, kept[-1]),
        },
    )


def arm_row(curve: np.ndarray, episodes: np.ndarray) -> dict[str, list[float]]:
    """Numbers per seed of one arm from its curve `[seeds, points]`."""
    reached = curve >= 0.9
    to_90 = np.where(reached.any(axis=1), episodes[reached.argmax(axis=1)], np.nan)
    return {
        "mean share": curve.mean(axis=1).tolist(),
        "episodes to 90 %": to_90.astype(float).tolist(),
        "last share": curve[:, -1].tolist(),
    }


def draw_rewards(
    figure: Any, model: TabularModel, fixed: dict[str, np.ndarray], kept: list[np.ndarray]
) -> None:
    """Heat maps of the adaptive reward as the first seed's learner changes."""
    figure.set_size_inches(3.3 * (len(kept) + 1), 3.4)
    axes = figure.subplots(1, len(kept) + 1)
    explicable.draw_design(axes[0], model, fixed["ExpRD B=5"], "ExpRD B=5")
    names = ("at the start", "after a tenth", "after a quarter", "half way", "at the end")
    for axis, reward, name in zip(axes[1:], kept, names, strict=False):
        explicable.draw_design(axis, model, reward, f"adaptive, {name}")
    figure.suptitle("rewards per cell and direction", fontsize=10)
    figure.tight_layout()


def log_ratio(
    arms: dict[str, dict[str, list[float]]], ending: str, episodes: int
) -> tuple[dict[str, np.ndarray], float, tuple[float, float]]:
    """Episodes to 90 % (never counts as all), and the mean log ratio one-shot to adaptive."""
    capped = {
        arm: np.nan_to_num(np.asarray(arms[arm + ending]["episodes to 90 %"]), nan=float(episodes))
        for arm in ("adaptive", "one-shot")
    }
    logs = {arm: np.log(np.maximum(values, 1.0)) for arm, values in capped.items()}
    ratio = float((logs["one-shot"] - logs["adaptive"]).mean())
    return capped, ratio, difference_interval(logs["one-shot"], logs["adaptive"])


def claim(result: StudyResult, config: ExpAdaRDConfig) -> Verdict:
    """Judge the measured numbers."""
    arms = result.arms
    own = np.asarray(arms["adaptive"]["mean share"])
    gain = own - np.asarray(arms["ExpRD B=5"]["mean share"])
    around = difference_interval(own, arms["ExpRD B=5"]["mean share"])
    capped, ratio, slower = log_ratio(arms, "", config.episodes)
    _, other_ratio, other_slower = log_ratio(arms, ", noise to neighbours", config.episodes)
    slowest = np.max(np.nan_to_num(arms["adaptive"]["episodes to 90 %"], nan=np.inf))
    fastest = float(capped["one-shot"].min())
    measured = {
        "slowest adaptive seed, episodes to 90 %": float(slowest),
        "log episodes to 90 %, one-shot minus adaptive": ratio,
        "mean share, adaptive minus ExpRD": float(gain.mean()),
        "mean share, adaptive": float(own.mean()),
        "noise to neighbours: log episodes, one-shot minus adaptive": other_ratio,
    }
    required = {
        "slowest adaptive seed, episodes to 90 %": "<= 6000",
        "log episodes to 90 %, one-shot minus adaptive": "interval above 0",
        "mean share, adaptive minus ExpRD": ">= 0.3, interval above 0",
    }
    passed = (
        slowest <= 6000
        and slower[0] > 0.0
        and measured["mean share, adaptive minus ExpRD"] >= 0.3
        and around[0] > 0.0
    )
    before = int(np.sum(capped["adaptive"] < fastest))
    notes = (
        f"{before} of {config.seeds} adaptive seeds reach 90 % before the fastest one-shot seed. "
        f"Runs that never do count as {config.episodes} episodes.",
        f"One-shot needs {np.exp(ratio):.2f} times the episodes of adaptive; where noise leads to "
        f"neighbours, {np.exp(other_ratio):.2f} times. Tried with another root key: five rules of "
        "noise and goal; where noise changes the action the ratio was 1.11 to 1.14, where it leads "
        "to neighbours 0.99 and 1.04.",
        "The rewards share 10 features; a free reward per state and action, and the line with a "
        "key, are not claimed.",
    )
    return Verdict(
        passed=bool(passed),
        measured=measured,
        required=required,
        seeds=config.seeds,
        interval={
            "log episodes to 90 %, one-shot minus adaptive": slower,
            "mean share, adaptive minus ExpRD": around,
            "mean share, adaptive": bootstrap_interval(own),
            "noise to neighbours: log episodes, one-shot minus adaptive": other_slower,
        },
        notes=notes,
    )


STUDY = Study(
    slug="expadard",
    title="ExpAdaRD: a reward that follows the learner",
    paper="Devidze, Kamalaruban, Singla, Informativeness of Reward Functions in Reinforcement "
    "Learning, AAMAS 2024, arXiv 2402.07019",
    claims=(
        "REINFORCE reaches 90 % of the optimal value within 6000 episodes on every seed when the "
        "reward is designed anew every 100 episodes for the policy of the time.",
        "It needs fewer episodes than with the reward designed once for the uniform policy.",
        "Its mean share of the optimal value is at least .3 above that under ExpRD's reward.",
    ),
    config=ExpAdaRDConfig(),
    run=run,
    claim=claim,
    functions=tuple(
        f"jaxrl_rewards.reward_design.explicable.{name}"
        for name in (
            *("informativeness_adaptive", "adaptive_weights", "state_visitation", "solve_linear"),
            *("AdaptiveTeacher", "reinforce_tabular_update"),
        )
    ),
    worlds=("tabular-rooms",),
    needs=32,
)
