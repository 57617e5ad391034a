"""Inferred labels, search at equal calls of the policy, and self-training, on modular chains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxrl_envs.language import ModularChain
from jaxrl_envs.language import chain_model as model
from jaxtyping import Array

from jaxrl_rewards.credit.step_values import hard_estimates, select_traces
from jaxrl_rewards.reward_models.ranking import auc
from jaxrl_rewards.rollout.search import (
    SearchNumbers,
    best_node,
    best_of_n,
    mcts_star,
    self_consistency,
    state_of,
)
from jaxrl_rewards.studies.api import Study, StudyResult
from jaxrl_rewards.studies.rest_mcts import chains
from jaxrl_rewards.studies.rest_mcts.claim import (
    ANSWER,
    BEST,
    CLAIMS,
    DEEP,
    LABELS,
    MCTS,
    MEMORY,
    ONE,
    SEARCH,
    VALUE,
    VOTE,
    claim,
)
from jaxrl_rewards.studies.shared.arms import per_seed
from jaxrl_rewards.studies.shared.sizes import at_least

RULES = {ANSWER: "answer", VALUE: "threshold"}
JUDGED = 2000
"""Steps of which the ranking is measured."""


@dataclasses.dataclass(frozen=True)
class RestMCTSConfig:
    """Sizes and numbers of the study; the defaults are what the claim is about."""

    root_key: int = 2406
    """All that is random comes from this key."""
    seeds: int = 8
    steps: int = 6
    questions: int = 400
    """Questions that values are inferred from."""
    rollouts: int = 32
    """Solutions of each of those."""
    test_questions: int = 300
    samples: int = 8
    """Solutions per test question, of `steps` calls each."""
    iterations: int = 8
    branch: int = 3
    roll_steps: int = 3
    rounds: int = 4
    round_questions: int = 300
    round_traces: int = 16
    threshold: float = 0.75

    def __post_init__(self):
        names = [f.name for f in dataclasses.fields(self)]
        at_least(self, 0, "root_key", "threshold")
        at_least(self, 1, *(n for n in names if n not in ("root_key", "threshold")))
        at_least(self, 2, "rounds")


class Seed(NamedTuple):
    """What all ways of one seed share; under `vmap` over seeds."""

    logits: Array
    wrong: Array
    test: model.Questions


def prepare(
    key: jax.Array, table: np.ndarray, config: RestMCTSConfig
) -> tuple[Seed, dict[str, Array]]:
    """A policy, values inferred from its solutions' answers, and how right they are."""
    keys = jax.random.split(key, 5)
    logits = model.start_policy(keys[0], table)
    asked = model.draw(keys[1], table, config.questions, config.steps)
    traces = model.solve(keys[2], logits, asked, table, config.rollouts)
    wrong = chains.wrong_chance(chains.count_steps(traces, table.shape))
    test = model.draw(keys[3], table, config.test_questions, config.steps)
    fresh = model.solve(keys[4], logits, test, table, 4)
    return Seed(logits, wrong, test), labels(traces, fresh, wrong)


def labels(traces: model.Traces, fresh: model.Traces, wrong: Array) -> dict[str, Array]:
    """How well inferred values tell right from wrong steps, on fresh solutions."""
    chance = wrong[tuple(jnp.moveaxis(fresh.cells, -1, 0))].reshape(-1)[:JUDGED]
    derived = traces.correct & jnp.all(traces.right, axis=-1)
    estimated = hard_estimates(traces.cells[..., 2], traces.correct)
    open_ = estimated[..., :-1] & ~traces.right
    return {
        "steps right": jnp.mean(traces.right),
        "derived rightly": jnp.sum(derived) / jnp.sum(traces.correct),
        "AUC": auc(-chance, fresh.right.reshape(-1)[:JUDGED]),
        "taken for right": jnp.sum(open_ & estimated[..., 1:]) / jnp.sum(open_),
    }


def sampled(
    key: jax.Array, seed: Seed, remember: Array, table: np.ndarray, config: RestMCTSConfig
) -> dict[str, dict]:
    """Questions solved by one sample, a vote and the best by value."""
    found = model.solve(key, seed.logits, seed.test, table, config.samples)
    values = chains.trace_values(found.cells, seed.wrong, remember)[..., -1]
    best = jax.vmap(best_of_n)(values)[:, None]
    last = found.cells[..., -1, 2]
    voted = jax.vmap(lambda answers: self_consistency(answers, table.shape[1]))(last)
    return {
        ONE: {"solved": jnp.mean(found.correct)},
        VOTE: {"solved": jnp.mean(voted == seed.test.answer)},
        BEST: {"solved": jnp.mean(jnp.take_along_axis(found.correct, best, axis=1))},
    }


def searched(
    key: jax.Array, seed: Seed, remember: Array, numbers: SearchNumbers, config: RestMCTSConfig
) -> dict[str, Array]:
    """Questions solved by a tree search."""

    def one(key: jax.Array, question: model.Questions) -> dict[str, Array]:
        tree = mcts_star(
            key,
            chains.root_of(question.start),
            chains.step_model(seed.logits, seed.wrong, question.operations, remember),
            iterations=config.iterations,
            branch=config.branch,
            roll_steps=config.roll_steps,
            max_depth=config.steps,
            numbers=numbers,
        )
        end = state_of(tree, best_node(tree))
        finished = end["depth"] >= config.steps
        solved = finished & (end["y"] == question.answer)
        told = {"solved": solved, "finished": finished, "calls": tree.policy_calls}
        return {name: value.astype(jnp.float32) for name, value in told.items()}

    keys = jax.random.split(key, config.test_questions)
    return jax.tree.map(jnp.mean, jax.vmap(one)(keys, seed.test))


def self_training(
    key: jax.Array, seed: Seed, table: np.ndarray, rule: str, config: RestMCTSConfig
) -> dict[str, Array]:
    """Rounds of sampling, selecting and imitating; the chance of a right answer after each."""

    def one(logits: Array, key: jax.Array) -> tuple[Array, Array]:
        key_questions, key_traces = jax.random.split(key)
        asked = model.draw(key_questions, table, config.round_questions, config.steps)
        traces = model.solve(key_traces, logits, asked, table, config.round_traces)
        values = chains.trace_values(traces.cells, seed.wrong)[..., -1]
        chosen = select_traces(traces.correct, values, rule, config.threshold)
        logits = chains.imitate(logits, traces, chosen)
        return logits, model.chance_of_answer(logits, seed.test)

    _, after = jax.lax.scan(one, seed.logits, jax.random.split(key, config.rounds))
    curve = jnp.concatenate([model.chance_of_answer(seed.logits, seed.test)[None], after])
    return {"answers after 2 rounds": after[1], "answers at the end": after[-1], "curve": curve}


def run(config: RestMCTSConfig, report: Callable[[str, float], None]) -> StudyResult:
    """All seeds side by side, one way after the other."""
    table = ModularChain().table
    root = jax.random.key(config.root_key)
    keys = [jax.random.split(jax.random.fold_in(root, part), config.seeds) for part in range(4)]

    def over_seeds(function: Callable) -> Callable:
        """With further arguments that all seeds share."""
        return jax.jit(
            lambda keys, seeds, *shared: jax.vmap(lambda k, s: function(k, s, *shared))(keys, seeds)
        )

    report("inferring values", 0.0)
    seeds, right = jax.jit(jax.vmap(lambda key: prepare(key, table, config)))(keys[0])
    found = {LABELS: right}
    samples = over_seeds(lambda k, s, remember: sampled(k, s, remember, table, config))
    trees = over_seeds(lambda k, s, *shared: searched(k, s, *shared, config))
    for index, (way, remember) in enumerate(((SEARCH, False), (MEMORY, True))):
        remember = jnp.asarray(remember)
        report(way, 0.2 + 0.3 * index)
        solved = samples(keys[1], seeds, remember)
        for name, bonus in ((MCTS, 1.0), (DEEP, 0.0)):
            numbers = SearchNumbers(unvisited=jnp.asarray(bonus))
            solved[name] = trees(keys[2], seeds, remember, numbers)
        found |= {f"{way}: {name}": numbers for name, numbers in solved.items()}
    report("self-training", 0.8)
    curve = {"x": np.arange(config.rounds + 1), "xlabel": "round"}
    for arm, rule in RULES.items():
        train = over_seeds(lambda k, s, r=rule: self_training(k, s, table, r, config))
        found[arm] = train(keys[3], seeds)
        curve[arm] = np.asarray(found[arm].pop("curve"))
    budget = {
        "calls of the policy at most": config.iterations * (config.branch + config.roll_steps),
        "calls of the policy, samples": config.samples * config.steps,
        "traces per round": config.round_questions * config.round_traces,
    }
    arms = {name: per_seed(numbers) for name, numbers in found.items()}
    return StudyResult(arms=arms, curves={"chance of a right answer": curve}, budget=budget)


STUDY = Study(
    slug="rest_mcts",
    title="ReST-MCTS*: step values from answers, for search and self-training",
    paper="Zhang, Zhoubian, Hu, Yue, Dong, Tang, ReST-MCTS*: LLM Self-Training via Process Reward "
    "Guided Tree Search, NeurIPS 2024",
    claims=CLAIMS,
    config=RestMCTSConfig(),
    run=run,
    claim=claim,
    functions=(
        *(
            f"jaxrl_rewards.credit.{name}"
            for name in ("weighted_reward", "quality_values", "infer_tree_values", "select_traces")
        ),
        *(
            f"jaxrl_rewards.rollout.search.{name}"
            for name in ("mcts_star", "ucb_scores", "backup", "value_weighted_vote")
        ),
    ),
    worlds=("language-modular-chain",),
    quick={"seeds": 2, "test_questions": 100},
)
