"""The studies of process rewards at tiny sizes, and what is exact in them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.language import ModularChain
from jaxrl_envs.language import chain_model as model
from jaxrl_envs.language.proof_chain import ANSWER, CANDIDATES, play, start_table

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.credit import hard_estimates
from jaxrl_rewards.reward_models.ranking import auc
from jaxrl_rewards.studies.api import judge
from jaxrl_rewards.studies.clip_delta import study as clip_delta
from jaxrl_rewards.studies.pav import exact
from jaxrl_rewards.studies.pav import study as pav
from jaxrl_rewards.studies.pav.claim import GAPS
from jaxrl_rewards.studies.prime import study as prime
from jaxrl_rewards.studies.rest_mcts import chains
from jaxrl_rewards.studies.rest_mcts import study as rest_mcts

TINY = {
    "clip_delta": (clip_delta, {"updates": 2, "batch": 16, "evaluation": 16}),
    "pav": (pav, {"updates": 2, "batch": 8, "completions": 2}),
    "prime": (prime, {"updates": 40, "evaluation": 64}),
    "rest_mcts": (
        rest_mcts,
        {
            "questions": 20, "rollouts": 8, "test_questions": 8, "iterations": 2,
            "rounds": 2, "round_questions": 10, "round_traces": 4,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("slug", TINY)
def test_a_tiny_run_is_whole_and_too_small_to_judge(slug):
    module, sizes = TINY[slug]
    config = dataclasses.replace(module.STUDY.config, seeds=2, **sizes)
    result = module.run(config, lambda text, fraction: None)
    verdict = judge(module.STUDY, result, config)
    assert verdict.state == "too few seeds to judge" and verdict.required
    for arm, numbers in result.arms.items():
        assert all(len(values) == 2 for values in numbers.values()), arm
    for curve in result.curves.values():
        points = len(curve["x"])
        arms = [values for name, values in curve.items() if name not in ("x", "xlabel")]
        assert arms and all(np.shape(values) == (2, points) for values in arms)


@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (clip_delta.ClipDeltaConfig, {"short_horizon": 4}),
        (pav.PAVConfig, {"horizon": 6}),
        (prime.PrimeConfig, {"answers": 1}),
        (prime.PrimeConfig, {"updates": 10}),
        (rest_mcts.RestMCTSConfig, {"rounds": 1}),
    ],
)
def test_sizes_that_do_not_fit_are_named(config, changes):
    with pytest.raises(InputError, match=f"{next(iter(changes))} must be at least"):
        config(**changes)


def test_provers_in_the_middle_tell_tokens_apart_best():
    for strength, expected in GAPS.items():
        assert abs(exact.gap(strength) - expected) < 1e-4
    assert exact.own_progress_error(jax.random.key(0)) < 1e-12


def test_a_proof_is_right_only_when_all_steps_are():
    played = jax.jit(lambda key: play(key, start_table(3), 400, 10))(jax.random.key(0))
    played = jax.device_get(played)
    for place, action, mask, correct in zip(
        played.place, played.action, played.mask, played.correct, strict=True
    ):
        written = action[mask > 0]
        tries = written[written < CANDIDATES]
        right = written[-1] == ANSWER and len(tries) == 3 and not tries.any()
        assert right == bool(correct)
        moved = np.concatenate([[0], np.cumsum(written < CANDIDATES)])[:-1]
        assert np.array_equal(place[mask > 0], np.minimum(moved, 3))
    assert 3 < played.correct.sum() < 360


def test_ranking():
    scores = jnp.asarray([0.1, 0.4, 0.35, 0.8, 0.4])
    assert np.isclose(auc(scores, jnp.asarray([False, False, True, True, True])), 4.5 / 6)
    assert np.isnan(auc(scores, jnp.zeros(5, bool)))


def test_hard_estimates_against_loops_and_exact_chances():
    table = ModularChain().table
    logits = model.start_policy(jax.random.key(0), table)
    chance = np.asarray(jax.nn.softmax(logits))
    right = np.take_along_axis(chance, table[..., None], axis=2)
    assert np.allclose(chance.sum(-1), 1, atol=1e-5)
    assert np.all(np.isclose(right, model.EASY) | np.isclose(right, model.HARD))
    asked = model.draw(jax.random.key(1), table, 12, 4)
    traces = model.solve(jax.random.key(2), logits, asked, table, 300)
    expected = float(model.chance_of_answer(logits, asked))
    assert abs(float(traces.correct.mean()) - expected) < 4 * 0.5 / np.sqrt(3600)
    few = jax.tree.map(lambda leaf: np.asarray(leaf[:, :9]), traces)
    found = np.asarray(hard_estimates(few.cells[..., 2], few.correct))
    for q in range(12):
        for i in range(9):
            for k in range(5):
                shared = [
                    j for j in range(9)
                    if np.array_equal(few.cells[q, j, :k, 2], few.cells[q, i, :k, 2])
                ]  # fmt: skip
                assert found[q, i, k] == any(few.correct[q, j] for j in shared)
    values = chains.trace_values(few.cells, jnp.zeros((8, 11, 11)))
    assert np.allclose(values, np.arange(1, 5) / 4)
