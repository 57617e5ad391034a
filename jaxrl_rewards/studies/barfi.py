"""BARFI: learning how much to trust an auxiliary reward, by differentiating through training.

A policy walks a continuous square. One auxiliary reward misleads it into a bonus box, another
helps; the reward that it is trained on, and its discount, are tuned so that the trained policy does
well under the primary reward. All arms and seeds run under one compiled program. Source: Gupta et
al., NeurIPS 2023, arXiv 2310.19007.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.control import ContinuousGridWorld

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.files import atomic_write_json
from jaxrl_rewards.reward_design.barfi import (
    aligned_objective,
    barfi_hypergradient,
)
from jaxrl_rewards.reward_design.barfi_loop import (
    Barfi,
    BarfiConfig,
    BarfiResult,
    BarfiSettings,
)
from jaxrl_rewards.reward_design.known_answers import cosine
from jaxrl_rewards.reward_design.solvers import exact, first_order, neumann
from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.barfi_arms import ARMS, arm_settings, cosine_features
from jaxrl_rewards.studies.barfi_claim import (
    CLAIMS,
    HELPFUL,
    OFFICIAL,
    RECOVERED,
    WRONG,
    ZERO,
    claim,
)
from jaxrl_rewards.studies.barfi_figure import draw_maps, weight_maps, weight_rows

MAPPED = (WRONG, ZERO, OFFICIAL, RECOVERED, HELPFUL)
FIRST_EPISODES, LAST_EPISODES = 500, 180


@dataclasses.dataclass(frozen=True)
class BarfiStudyConfig:
    """Sizes and numbers of the study; the defaults are what the claim is about."""

    seeds: int = 8
    root_key: int = 231019007
    """All that is random comes from this key."""
    warmup_rounds: int = 50
    """Rounds of three episodes before the main phase."""
    rounds: int = 617
    switch_steps: int = 150
    inner_steps: int = 15
    warmup_steps: int = 1
    """Policy steps per round, in the main phase on random episodes of the buffer and in the warm-up
    on the newest episode. The authors' program warms up with one such step; an earlier version
    here took fifteen on replayed episodes, with which two of the claims failed on the study's own
    root key."""
    policy_rate: float = 0.005
    reward_rate: float = 0.005
    """Of the weights and of the discount's logit."""
    entropy: float = 0.25
    gamma: float = 0.99
    neumann_alpha: float = 5e-4
    neumann_loops: int = 5
    discount_penalty: float = 0.25
    reward_penalty: float = 0.0
    exploration: float = 0.0
    restart_threshold: float = 60.0
    """Running primary return below which the policy starts anew.

    This and the next five numbers are the schedule that goes beyond the paper. They were searched
    for with other root keys than the study's, eight seeds each, under a harsher warm-up (fifteen
    steps per round on replayed episodes), and have not been touched since. There it mattered to
    train the fresh policy on the primary reward first, to make no outer step in rounds without
    signal, and to give back half of what the reward has drifted. Without the warm-up or with
    everything kept, one to four seeds of eight stayed lost; holding the fresh policy still while
    outer steps go on, or exploring with uniform actions, was worse."""
    restart_signal: float = 10.0
    restart_patience: int = 30
    restart_warmup: int = 20
    restart_keep: float = 0.5
    restart_reward_rate: float = 0.02

    def __post_init__(self):
        if self.seeds < 1:
            raise InputError(f"seeds must be at least 1, got {self.seeds}")
        if self.neumann_alpha <= 0:
            raise InputError(f"neumann_alpha must be above 0, got {self.neumann_alpha}")
        if not 0 < self.gamma < 1:
            raise InputError(f"gamma must lie between 0 and 1, got {self.gamma}")

    def loop(self) -> BarfiConfig:
        """The static sizes of the nested loop."""
        return BarfiConfig(
            warmup_rounds=self.warmup_rounds,
            rounds=self.rounds,
            switch_steps=self.switch_steps,
            inner_steps=self.inner_steps,
            warmup_steps=self.warmup_steps,
            neumann_loops=self.neumann_loops,
        )


def run(config: BarfiStudyConfig, report) -> StudyResult:
    """All arms, one after another under one compile; seeds are a batch axis."""
    learner = Barfi(ContinuousGridWorld(), cosine_features, config.loop())
    params = learner.env.default_params()
    keys = jax.random.split(jax.random.key(config.root_key), config.seeds)
    arm_keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)

    def settings_of(arm: str) -> BarfiSettings:
        return jax.vmap(lambda key: arm_settings(learner, ARMS[arm], config, key))(arm_keys)

    report("compiling", 0.0)
    program = jax.jit(jax.vmap(learner.run, (0, 0, None)))
    diagnose = jax.jit(jax.vmap(lambda *args: solver_cosines(learner, *args), (0, 0, 0, None)))
    table: dict[str, dict[str, list[float]]] = {}
    rewards, returns, weights = {}, {}, {}
    for number, arm in enumerate(ARMS):
        settings = settings_of(arm)
        found = program(keys, settings, params)
        table[arm] = arm_row(jax.device_get(found), learner, config.restart_warmup)
        if arm == WRONG:
            cosines = diagnose(keys, settings, found, params)
            table[arm] |= {name: np.asarray(value).tolist() for name, value in cosines.items()}
        if arm in MAPPED:
            rewards[arm] = jax.device_get(found.state.phi)
        returns[arm], weights[arm] = np.asarray(found.returns), np.asarray(found.weights)[..., 0]
        report(arm, (number + 1) / len(ARMS))
    maps = {arm: weight_maps(phi) for arm, phi in rewards.items()}
    boxes = {"goal": np.asarray(params.goal_box), "bonus": np.asarray(params.bonus_box)}
    rows = weight_rows(rewards)
    return StudyResult(
        arms=table,
        curves=curves(returns, weights, learner.config.episodes_per_round),
        budget=budget(learner.config),
        figures={"barfi_weights.png": lambda figure: draw_maps(figure, maps, boxes)},
        files={"barfi_weights.json": lambda path: atomic_write_json(path, rows)},
    )


def arm_row(found: BarfiResult, learner: Barfi, warmup: int) -> dict[str, list[float]]:
    """Numbers per seed of one arm; returns are undiscounted and of the primary reward.

    Late restarts are those whose warm-up on the primary reward reaches into the last episodes,
    which would then not show what the aligned reward teaches.
    """
    size = learner.config.episodes_per_round
    first, last = max(1, FIRST_EPISODES // size), max(1, LAST_EPISODES // size)
    centre = cosine_features(jnp.full((2,), 0.5))
    weight = jax.vmap(lambda phi: phi.weights(centre)[1])(found.state.phi)
    numbers = {
        "final_return": found.returns[:, -last:].mean(axis=1),
        "first_500": found.returns[:, :first].mean(axis=1),
        "centre_weight": weight,
        "visited_weight": found.weights[:, -last:, 0].mean(axis=1),
        "discount": found.discount[:, -1],
        "stationarity": found.stationarity[:, -last:].mean(axis=1),
        "fallbacks": found.fallbacks.sum(axis=1),
        "restarts": found.restarts.sum(axis=1),
        "late_restarts": found.restarts[:, -(last + warmup) :].sum(axis=1),
    }
    return {name: np.asarray(value, np.float64).tolist() for name, value in numbers.items()}


def solver_cosines(
    learner: Barfi, key: jax.Array, settings: BarfiSettings, found: BarfiResult, params: Any
) -> dict[str, jax.Array]:
    """Cosines of the published series and of first order to the exact solve, at the end of a run.

    The Hessian is indefinite, so the exact solve is damped until it is negative definite: by its
    largest eigenvalue plus a hundredth of its largest magnitude.
    """
    state = found.state
    fresh = learner.collect(state.theta, key, settings, params)
    batch = jax.tree.map(lambda leaf: leaf[: learner.config.outer_batch], state.buffer)
    flat, unravel = jax.flatten_util.ravel_pytree(state.theta)
    hessian = jax.hessian(
        lambda f: aligned_objective(unravel(f), state.phi, batch, settings.entropy, learner.policy)
    )(flat)
    spectrum = jnp.linalg.eigvalsh(hessian)
    damping = jnp.maximum(spectrum[-1], 0.0) + 0.01 * jnp.max(jnp.abs(spectrum))

    def direction(solver):
        answer = barfi_hypergradient(
            state.theta,
            state.phi,
            fresh,
            batch,
            solver,
            gamma=settings.gamma,
            entropy_weight=settings.entropy,
        )
        return jax.flatten_util.ravel_pytree(answer.gradient)[0]

    solved = direction(exact(damping))
    series = direction(neumann(settings.alpha, learner.config.neumann_loops))
    return {
        "cosine_series": cosine(series, solved),
        "cosine_first_order": cosine(direction(first_order()), solved),
        "damping": damping,
    }


def curves(returns: dict[str, Any], weights: dict[str, Any], size: int, window: int = 20) -> dict:
    """Means over windows of rounds, for the picture; the axis counts episodes."""
    rounds = next(iter(returns.values())).shape[1]
    window = min(window, rounds)
    count = rounds // window

    def means(values: np.ndarray) -> np.ndarray:
        return values[:, : count * window].reshape(len(values), count, window).mean(axis=2)

    axis = {"x": (np.arange(count) + 1) * window * size, "xlabel": "episode"}
    return {
        "primary return": axis | {arm: means(values) for arm, values in returns.items()},
        "auxiliary weight over visited states": axis
        | {arm: means(values) for arm, values in weights.items() if ARMS[arm].outer},
    }


def budget(config: BarfiConfig) -> dict[str, Any]:
    """What every arm spends."""
    steps = config.warmup_rounds * config.warmup_steps + config.rounds * config.inner_steps
    return {
        "episodes": (config.warmup_rounds + config.rounds) * config.episodes_per_round,
        "policy steps": steps + config.switch_steps,
        "outer steps": config.rounds,
    }


STUDY = Study(
    slug="barfi",
    title="BARFI: aligning a designer's auxiliary reward by implicit gradients",
    paper="Gupta et al., Behavior Alignment via Reward Function Optimization, NeurIPS 2023, "
    "arXiv 2310.19007",
    claims=CLAIMS,
    config=BarfiStudyConfig(),
    run=run,
    claim=claim,
    functions=tuple(
        f"jaxrl_rewards.reward_design.{name}"
        for name in (
            *("implicit.hypergradient", "barfi.barfi_hypergradient", "barfi.aligned_objective"),
            *("barfi.primary_objective", "barfi.potential_returns", "barfi_loop.Barfi"),
        )
    ),
    worlds=("gridworld-continuous",),
)
