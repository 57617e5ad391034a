"""The retargeting study in small: its arms, its verdict, its workers, its pictures."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxrl_envs.retarget.planar_body import BODIES
from jaxrl_envs.retarget.planar_following import followed_speeds
from jaxrl_envs.retarget.planar_motion import sample_style

from jaxrl_rewards.rewards.imitation_terms import Tracking
from jaxrl_rewards.studies.api import StudyResult
from jaxrl_rewards.studies.shared.intervals import ratio_interval
from jaxrl_rewards.studies.shared.workers import run_jobs
from jaxrl_rewards.studies.sparse_retargeting import claim as claims
from jaxrl_rewards.studies.sparse_retargeting import study
from jaxrl_rewards.studies.sparse_retargeting.claim import claim

CONFIG = study.SparseRetargetingConfig()
METRICS = ("survive", "keypoint_error", "leg_error", "contact_match", "action_change", "foot_skate")
TYPICAL = {
    claims.FULL: (1.0, 0.031, 0.088, 0.921, 56.0, 0.15),
    claims.SYMMETRIC: (0.99, 0.040, 0.110, 0.898, 57.0, 0.15),
    claims.NO_CONTACT: (0.99, 0.035, 0.097, 0.886, 51.0, 0.15),
    claims.NO_ACTION: (1.0, 0.032, 0.081, 0.907, 76.0, 0.15),
    claims.NO_IMITATION: (1.0, 0.077, 0.211, 0.944, 35.0, 0.15),
    claims.BLIND: (0.0, 0.1, 0.3, 0.6, 50.0, 0.15),
}


def typical_result():
    """Five seeds around numbers for which every claim holds."""
    spread = np.array([0.98, 0.99, 1.0, 1.01, 1.02])
    arms = {}
    for arm, numbers in TYPICAL.items():
        row = dict(zip(METRICS, numbers, strict=True))
        arms[arm] = {
            name: [value] * 5 if name in ("survive", "contact_match") else list(value * spread)
            for name, value in row.items()
        }
    checks = {"rest pose to rest pose": 0.0, "lowest foot on the ground": 2e-7}
    return StudyResult(arms=arms, budget={"kinematic checks": checks})


def test_the_verdict_of_typical_numbers_holds():
    verdict = claim(typical_result(), CONFIG)
    assert verdict.passed, verdict.notes
    assert verdict.measured["2: keypoint error, no imitation divided by full"] == pytest.approx(
        0.077 / 0.031
    )
    assert set(verdict.required) == set(verdict.measured)
    exact = {name for name in verdict.measured if name.startswith("6:")}  # without an interval
    assert set(verdict.interval) == set(verdict.measured) - exact


@pytest.mark.parametrize(
    "arm, metric, values, word",
    [
        (claims.FULL, "survive", [0.9] * 5, "1: followed for 10 s, full"),
        (claims.FULL, "leg_error", [0.13] * 5, "1: leg error"),
        (
            claims.BLIND,
            "survive",
            [0.0, 0.0, 0.0, 0.0, 0.02],
            "1: followed for 10 s, sensors zeroed",
        ),
        (claims.NO_IMITATION, "keypoint_error", [0.05] * 5, "2: keypoint error"),
        (claims.NO_ACTION, "action_change", [60.0] * 5, "3: action change"),
        (claims.NO_ACTION, "keypoint_error", [0.04] * 5, "3: keypoint error"),
        (claims.NO_CONTACT, "contact_match", [0.92] * 5, "4: contact mismatch"),
        (claims.SYMMETRIC, "keypoint_error", [0.033] * 5, "5: keypoint error"),
        (claims.SYMMETRIC, "keypoint_error", [0.03, 0.03, 0.03, 0.03, 0.06], "5: keypoint error"),
    ],
)
def test_each_claim_can_fail(arm, metric, values, word):
    """The last case: a mean ratio of 1.16 that rests on one seed of five."""
    result = typical_result()
    rows = copy.deepcopy(result.arms)
    rows[arm][metric] = values
    verdict = claim(StudyResult(arms=rows, budget=result.budget), CONFIG)
    assert not verdict.passed
    assert any(name.startswith(word) for name in verdict.missed)


def test_motions_followed_blind_are_told_with_their_speed():
    speeds, survived = np.array([0.5, 0.01, 0.02, 0.9]), np.array([False, False, True, False])
    found = followed_speeds(speeds, survived)
    assert found == {"motions": 1, "fastest, m/s": 0.02, "of all, no faster": 2}
    result = typical_result()
    result.budget["followed blind"] = found
    assert "at most 0.020 m/s; of all motions 2 are" in " ".join(claim(result, CONFIG).notes)
    result.budget["followed blind"] = followed_speeds(speeds, np.zeros(4, bool))
    assert not any("no faster" in note for note in claim(result, CONFIG).notes)


def test_an_inexact_kinematic_step_fails():
    result = typical_result()
    result.budget["kinematic checks"]["lowest foot on the ground"] = 2e-5
    verdict = claim(result, CONFIG)
    assert not verdict.passed and "lowest foot" in verdict.missed[0]


def test_ratio_interval_is_that_of_joint_seeds():
    """Common noise cancels when seeds are drawn jointly; a constant ratio has no width."""
    base = np.array([1.0, 5.0, 2.0, 9.0])
    np.testing.assert_allclose(ratio_interval(3.0 * base, base), (3.0, 3.0))
    noisy = ratio_interval(base[::-1], base)
    assert noisy[0] < 1.0 < noisy[1]
    with pytest.raises(ValueError, match="equal seeds"):
        ratio_interval(base, base[:2])
    with pytest.raises(ValueError, match="positive"):
        ratio_interval(base, 0.0 * base)


def moment(**changes):
    """A character on its reference, with an action that is neither small nor steady."""
    ones = jnp.ones((8,))
    points = jnp.ones((5, 2))
    fields = dict(
        q=ones, q_ref=ones, qd=ones, qd_ref=ones, mapped_mask=ones, keypoints=points,
        keypoints_ref=points, keypoints_vel=points, keypoints_vel_ref=points,
        root_height=jnp.float32(1.0), root_height_ref=jnp.float32(1.0),
        root_angle_error=jnp.float32(0.0), contact=jnp.ones((2,)), contact_ref=jnp.ones((2,)),
        action=ones, prev_action=0.0 * ones,
    )  # fmt: skip
    return Tracking(**fields | changes)


def test_arms_are_one_tree_and_pay_for_what_they_name():
    arms = study.arms(CONFIG)
    assert len({jax.tree.structure(arm) for arm in arms.values()}) == 1
    off = moment(contact=jnp.zeros((2,)), q=jnp.zeros((8,)))
    paid = {
        name: [float(arm.reward(None, None, now)[0]) for now in (moment(), off)]
        for name, arm in arms.items()
    }
    scale = CONFIG.reward_scale
    size, rate = np.exp(-0.5), np.exp(-2.0)
    acting = 0.4 * size + 0.6 * rate
    weights = {
        claims.FULL: (0.7, 0.1, 0.2),
        claims.NO_CONTACT: (0.78, 0.0, 0.22),
        claims.NO_ACTION: (0.875, 0.125, 0.0),
        claims.NO_IMITATION: (0.0, 0.33, 0.67),
    }
    for name, (imitation, contact, action) in weights.items():
        expected = imitation + contact + action * acting
        np.testing.assert_allclose(paid[name][0], scale * expected, rtol=1e-5)
        missed = imitation * (0.7 + 0.3 * np.exp(-10.0)) + contact * np.exp(-3.0)
        np.testing.assert_allclose(paid[name][1], scale * (missed + action * acting), rtol=1e-5)
    assert paid[claims.SYMMETRIC] == paid[claims.BLIND] == paid[claims.FULL]
    assert float(arms[claims.SYMMETRIC].privileged_gain) == 0.0
    assert float(arms[claims.BLIND].sensor_gain) == 0.0


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="multiple of chunk"):
        study.SparseRetargetingConfig(updates=15, chunk=10)
    with pytest.raises(ValueError, match="body 'cat' is unknown"):
        study.SparseRetargetingConfig(bodies=("cat",))


def square(number, offset, report):
    report("working", 0.5)
    report("done", 1.0)
    return number**2 + offset


@pytest.mark.slow
def test_workers_give_results_in_order_and_report():
    jobs = [(number, 1) for number in range(3)]
    seen = {1: [], 2: []}
    for processes, heard in seen.items():
        results = run_jobs(square, jobs, processes, lambda text, share, h=heard: h.append(share))
        assert results == [1, 2, 5]
    assert seen[1] == sorted(seen[1]) and seen[1][-1] == 1.0
    assert seen[2] == sorted(seen[2])


TINY = study.SparseRetargetingConfig(
    seeds=2,
    clips=4,
    evaluation_clips=3,
    evaluation_steps=12,
    training_steps=8,
    num_envs=8,
    unroll_length=4,
    updates=2,
    chunk=1,
    num_minibatches=2,
    hidden=(8,),
)


@pytest.fixture
def quick_compilation():
    """Without most optimisations the programs compile in a third of the time."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.slow
def test_a_tiny_run_of_one_body_measures_what_the_table_shows(quick_compilation):
    pytest.importorskip("mujoco")
    seen = []
    found = study.run_body(
        "human", (claims.FULL, claims.BLIND), TINY, lambda text, share: seen.append(share)
    )
    assert seen == sorted(seen) and seen[-1] == 1.0
    assert found["q"].shape == (3, 12, 11) and np.all(np.isfinite(found["q"]))
    for arm in (claims.FULL, claims.BLIND):
        row = found["rows"][arm]
        assert all(values.shape == (2,) for values in row.values())
        assert np.all((row["survive"] >= 0) & (row["survive"] <= 1))
        assert np.all((row["contact_match"] >= 0) & (row["contact_match"] <= 1))
        assert found["curves"][arm]["term/keypoint"].shape == (2, 2)
    full, blind = found["rows"][claims.FULL], found["rows"][claims.BLIND]
    assert full["keypoint_error"][0] != full["keypoint_error"][1]
    assert full["keypoint_error"][0] != blind["keypoint_error"][0]


@pytest.mark.slow
def test_pictures_are_drawn():
    from jaxrl_envs.retarget.planar_drawing import choose_clip, draw_strip
    from matplotlib.figure import Figure

    from jaxrl_rewards.studies.sparse_retargeting.figure import draw_bars

    styles = jax.vmap(sample_style)(jax.random.split(jax.random.key(0), 3))
    q = np.broadcast_to(BODIES["dinosaur"].rest_coordinates(), (3, 12, 11))
    strip, bars = Figure(), Figure()
    draw_strip(strip, {"human": q, "dinosaur": q}, styles)
    draw_bars(bars, typical_result().arms)
    assert len(strip.axes) == 3 and len(bars.axes) == 6
    fastest = choose_clip(styles)
    assert 0 <= fastest < 3
