"""All arms of the bi-level study under one compile, and what is read off them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxrl_envs.control import ContinuousGridWorld

from jaxrl_rewards.core import InputError
from jaxrl_rewards.core.files import atomic_write_json
from jaxrl_rewards.networks.cosine_basis import cosine_basis
from jaxrl_rewards.reward_design.barfi_diagnostics import (
    draw_weight_maps,
    run_numbers,
    solver_cosines,
    weight_rows,
)
from jaxrl_rewards.reward_design.barfi_loop import Barfi, BarfiConfig
from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.barfi.arms import (
    ARMS,
    HELPFUL,
    MANY,
    OFFICIAL,
    PRIMARY,
    RECOVERED,
    WRONG,
    ZERO,
    arm_settings,
)
from jaxrl_rewards.studies.barfi.claim import CLAIMS, claim
from jaxrl_rewards.studies.shared.arms import per_seed
from jaxrl_rewards.studies.shared.panels import windows
from jaxrl_rewards.studies.shared.sizes import at_least, shared_fields

TERMS = {name: arm.auxiliary for name, arm in ARMS.items()}
MAPPED = (WRONG, ZERO, OFFICIAL, RECOVERED, HELPFUL)
WINDOW, BATCH = 20, 64
"""Rounds per point of a curve, and seeds at once where there are many."""


@dataclasses.dataclass(frozen=True)
class BarfiStudyConfig:
    """Sizes and numbers of the study; the defaults are what the claim is about."""

    seeds: int = 8
    equal_seeds: int = 512
    """Seeds of the two arms whose equality is claimed.

    On root keys 101, 202, 303 (32 seeds each) and 404 (128 seeds), the outer step led 3 policies of
    224 away from the primary reward for good, a difference of -75 to -97, while on the others C
    ended 1.4 higher (standard deviation 1.2). Seeds drawn anew from these 224 give an interval
    within +-2 for 77 % of draws of 256 seeds, 91 % of 384 and 97 % of 512."""
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
        at_least(self, 1, "seeds")
        at_least(self, self.seeds, "equal_seeds")
        if self.neumann_alpha <= 0:
            raise InputError(f"neumann_alpha must be above 0, got {self.neumann_alpha}")
        if not 0 < self.gamma < 1:
            raise InputError(f"gamma must lie between 0 and 1, got {self.gamma}")

    def loop(self) -> BarfiConfig:
        """The static sizes of the nested loop."""
        return BarfiConfig(**shared_fields(BarfiConfig, self))


def run(config: BarfiStudyConfig, report) -> StudyResult:
    """All arms, then two of them on many seeds; seeds are a batch axis."""
    learner = Barfi(ContinuousGridWorld(), cosine_basis, config.loop())
    params = learner.env.default_params()
    every = jax.random.split(jax.random.key(config.root_key), config.equal_seeds)
    keys = every[: config.seeds]
    program = jax.jit(jax.vmap(learner.run, (0, 0, None)))
    diagnose = jax.jit(jax.vmap(lambda *args: solver_cosines(learner, *args), (0, 0, 0, None)))
    table: dict[str, dict[str, list[float]]] = {}
    rewards, returns, weights = {}, {}, {}
    centre = jnp.full((2,), 0.5)
    report("compiling", 0.0)
    for number, name in enumerate(ARMS):
        settings = arm_settings(learner, ARMS[name], config, keys)
        found = program(keys, settings, params)
        table[name] = per_seed(run_numbers(learner, found, centre, config.restart_warmup))
        if name == WRONG:
            table[name] |= per_seed(diagnose(keys, settings, found, params))
        if name in MAPPED:
            rewards[name] = jax.device_get(found.state.phi)
        returns[name] = found.returns
        if ARMS[name].outer:
            weights[name] = found.weights[..., 0]
        report(name, 0.5 * (number + 1) / len(ARMS))
    for number, name in enumerate((PRIMARY, ZERO)):
        final = []
        for start in range(0, config.equal_seeds, BATCH):
            report(f"{name}, many seeds", 0.5 + 0.25 * (number + start / config.equal_seeds))
            some = every[start : start + BATCH]
            found = program(some, arm_settings(learner, ARMS[name], config, some), params)
            final += run_numbers(learner, found, centre, 0)["final_return"].tolist()
        table[name + MANY] = {"final_return": final}
    size = learner.config.episodes_per_round
    rows = weight_rows(rewards, cosine_basis, TERMS)
    boxes = {"green": params.goal_box, "black": params.bonus_box}

    def draw_maps(figure: Any) -> None:
        named = "green: goal, black: bonus box"
        draw_weight_maps(figure, rewards, cosine_basis, TERMS, boxes, (0.125, 0.125), named)

    return StudyResult(
        arms=table,
        curves={
            "primary return": windows(returns, WINDOW, size, "episode"),
            "auxiliary weight over visited states": windows(weights, WINDOW, size, "episode"),
        },
        budget=learner.config.budget,
        figures={"barfi_weights.png": draw_maps},
        files={"barfi_weights.json": lambda path: atomic_write_json(path, rows)},
    )


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
    quick={"seeds": 2, "equal_seeds": 2, "rounds": 120},
)
