"""The study in small: its parts, its plumbing, and (slow) its first claim."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.gui.targets import displace

from jaxrl_rewards.networks import box_tokens
from jaxrl_rewards.studies.api import StudyResult
from jaxrl_rewards.studies.gui_g2 import arms as gui_arms
from jaxrl_rewards.studies.gui_g2 import study as gui_g2
from jaxrl_rewards.studies.gui_g2.claim import arm_name, claim

TINY = gui_g2.GuiG2Config(
    seeds=2,
    hidden=16,
    supervised_steps=20,
    supervised_batch=16,
    near_miss_updates=4,
    some_hits_updates=4,
    evaluate_every=2,
    prompts=8,
    answers=4,
    evaluation_targets=16,
)


def quiet(text, fraction):
    pass


@pytest.mark.slow
def test_a_tiny_study_runs_from_start_to_verdict():
    seen = []
    result = gui_g2.run(TINY, lambda text, fraction: seen.append(fraction))
    assert len(result.arms) == 2 * len(gui_arms.ARMS)
    assert all(len(values) == 2 for arm in result.arms.values() for values in arm.values())
    assert seen == sorted(seen) and seen[-1] == pytest.approx(1.0)
    for curve in result.curves.values():
        assert curve["gaussian"].shape == (2, 3) == (2, len(curve["x"]))
        for arm in gui_arms.ARMS:
            np.testing.assert_array_equal(curve[arm][:, 0], curve["gaussian"][:, 0])
    verdict = gui_g2.claim(result, TINY)
    assert verdict.seeds == 2 and set(verdict.required) <= set(verdict.measured)
    from matplotlib.figure import Figure

    for draw in result.figures.values():
        draw(Figure())


@pytest.mark.slow
def test_arms_are_one_tree_and_score_as_named():
    target = jnp.asarray([10.0, 10.0, 18.0, 16.0])
    answers = gui_arms.Answers(pred_box=target + 1.0, target_box=target, noise=jnp.float32(0.25))
    rewards = {arm: gui_arms.arm_reward(arm) for arm in gui_arms.ARMS}
    assert len({jax.tree.structure(reward) for reward in rewards.values()}) == 1
    stacked = gui_arms.stacked_rewards(tuple(rewards))
    totals = jax.vmap(lambda reward: reward.evaluate(None, None, answers).total)(stacked)
    totals = dict(zip(rewards, np.asarray(totals), strict=True))
    terms = gui_arms.arm_reward("gaussian").evaluate(None, None, answers).terms
    np.testing.assert_allclose(
        totals["gaussian"], terms["gaussian_point"] + terms["gaussian_coverage"], rtol=1e-6
    )
    assert totals["point hit"] == 1.0 and totals["random"] == 0.25
    np.testing.assert_allclose(totals["distance"], -np.sqrt(2.0), rtol=1e-6)


def test_sampling_follows_the_distribution():
    logits = jax.random.normal(jax.random.key(0), (1, 4, 6))
    uniform = jax.random.uniform(jax.random.key(1), (1, 20_000, 4))
    tokens = box_tokens.sample_tokens(logits, uniform)
    for slot in range(4):
        share = np.bincount(np.asarray(tokens[0, :, slot]), minlength=6) / 20_000
        np.testing.assert_allclose(share, jax.nn.softmax(logits[0, slot]), atol=0.015)
    extreme = box_tokens.sample_tokens(logits, jnp.asarray([[[0.0] * 4, [1.0] * 4]]))
    assert np.all(extreme[0, 0] == 0) and np.all(extreme[0, 1] == 5)
    log_prob = box_tokens.token_log_probs(logits, tokens)
    np.testing.assert_allclose(
        log_prob[0, :5, 2], jax.nn.log_softmax(logits[0, 2])[tokens[0, :5, 2]], rtol=1e-6
    )


def test_targets_leave_room_for_the_displacement():
    draw = gui_g2.make_task(gui_g2.GuiG2Config()).draw
    targets = np.asarray(draw(jax.random.key(0), 500))
    size = targets[:, 2:] - targets[:, :2]
    assert size.min() >= 3 and size[:, 0].max() <= 10 and size[:, 1].max() <= 8
    moved = displace(targets, 1.2 * np.ones(2, np.float32))
    assert moved.min() >= 0 and moved.max() <= 64 + 1e-4
    np.testing.assert_allclose(moved[:, :2] - targets[:, :2], 1.2 * size, rtol=1e-4)


def synthetic(**changes):
    """Arms that meet every threshold, then `changes` as (regime, arm, metric, values)."""
    good = {"accuracy": 0.0, "updates_to_75": np.nan, "distance": 5.0, "iou_rate": 0.0}
    arms = {
        arm_name(regime, arm): {k: [v, v] for k, v in good.items()}
        for regime in ("near miss", "some hits")
        for arm in gui_arms.ARMS
    }
    arms["near miss: gaussian"]["accuracy"] = [0.9, 0.95]
    for arm, numbers in (("gaussian", (1.0, 90, 0.8, 0.5)), ("point hit", (0.995, 120, 2.2, 0.1))):
        arms[f"some hits: {arm}"] = {
            name: [value, value] for name, value in zip(good, numbers, strict=True)
        }
    for name, values in changes.items():
        regime, arm, metric = name.split("__")
        arms[f"{regime.replace('_', ' ')}: {arm.replace('_', ' ')}"][metric] = values
    return StudyResult(arms=arms)


def test_the_verdict_follows_the_thresholds():
    config = dataclasses.replace(gui_g2.GuiG2Config(), seeds=2)
    verdict = claim(synthetic(), config)
    assert verdict.passed and not verdict.missed
    for change in (
        {"near_miss__gaussian__accuracy": [0.8, 0.8]},
        {"near_miss__point_hit__accuracy": [0.1, 0.1]},
        {"some_hits__gaussian__updates_to_75": [130, 80]},
        {"some_hits__gaussian__updates_to_75": [np.nan, np.nan]},
        {"some_hits__gaussian__distance": [1.5, 1.5]},
        {"some_hits__point_hit__iou_rate": [0.3, 0.3]},
    ):
        failed = claim(synthetic(**change), config)
        assert not failed.passed and failed.missed


def test_bad_settings_are_named():
    for name, value in (("seeds", 0), ("answers", 1), ("near_miss_updates", 13)):
        with pytest.raises(ValueError, match=name):
            dataclasses.replace(gui_g2.GuiG2Config(), **{name: value})


@pytest.mark.slow
def test_gaussian_learns_from_near_misses_where_hits_are_silent():
    config = dataclasses.replace(gui_g2.GuiG2Config(), seeds=2)
    program = gui_g2.make_program(config)
    arms = ("gaussian", "point hit", "inside only")
    curves, _, _ = gui_g2.run_regime(program, config, 1.2, 200, arms, quiet)
    accuracy = curves["accuracy"][:, :, -1].mean(axis=0)
    assert accuracy[0] >= 0.5 and accuracy[1] <= 0.05 and accuracy[2] <= 0.05
    assert curves["groups with spread"][:, 1:].max() <= 0.02
