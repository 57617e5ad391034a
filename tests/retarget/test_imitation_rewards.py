"""Imitation rewards: on the reference, against float64, as terms, gradients, traps."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.rewards import imitation, imitation_terms

GENERATOR = np.random.default_rng(0)
J, K, F, A = 7, 5, 2, 7


def _tracking(error=0.1, feet=F):
    """Arguments of `retarget_reward`, the reference `error` away."""
    values = {}
    for name, shape in {
        "q": J, "qd": J, "keypoints": (K, 3), "keypoints_vel": (K, 3), "root_height": (),
    }.items():  # fmt: skip
        values[name] = GENERATOR.normal(size=shape).astype(np.float32)
        gap = error * GENERATOR.normal(size=shape)
        values[f"{name}_ref"] = (values[name] + gap).astype(np.float32)
    values["root_angle_error"] = np.float32(error)
    values["mapped_mask"] = (np.arange(J) < J - 2).astype(np.float32)
    values["contact"] = np.ones(feet, np.float32)
    values["contact_ref"] = np.ones(feet, np.float32) * (error == 0)
    values["action"] = GENERATOR.normal(size=A).astype(np.float32)
    values["prev_action"] = GENERATOR.normal(size=A).astype(np.float32)
    return values


def test_the_reference_against_itself_earns_one():
    out = imitation.retarget_reward(**_tracking(0.0))
    assert float(out["imitation"]) == pytest.approx(1.0, abs=1e-6)
    assert float(out["contact"]) == 1.0
    assert all(float(error) == 0.0 for error in out["errors"].values())


def test_a_character_without_feet_has_contact_one():
    out = imitation.retarget_reward(**_tracking(0.3, feet=0))
    assert float(out["contact"]) == 1.0 and np.isfinite(float(out["reward"]))


def test_unmapped_joints_do_not_count_and_may_be_nan():
    values = _tracking()
    before = imitation.retarget_reward(**values)["reward"]
    values["q"] = values["q"].copy()
    values["q"][-1] = np.nan
    assert float(imitation.retarget_reward(**values)["reward"]) == float(before)
    values["mapped_mask"] = np.zeros(J, np.float32)
    assert float(imitation.retarget_reward(**values)["errors"]["pose"]) == 0.0


def test_the_sum_of_terms_is_the_function():
    values = _tracking()
    weights = imitation.ImitationWeights(k_keypoint=40.0, pose=0.2, contact=0.3)
    out = imitation.retarget_reward(**values, weights=weights)
    state = types.SimpleNamespace(tracking=imitation_terms.Tracking(**values))
    total, terms = imitation_terms.retarget_terms(weights)(None, None, state)
    assert float(total) == pytest.approx(float(out["reward"]), rel=1e-6)
    for name in imitation.IMITATION_TERMS:
        assert float(terms[name]) == pytest.approx(float(out["terms"][name]), rel=1e-6)
    assert float(terms["contact"]) == pytest.approx(float(out["contact"]))


def test_many_rewards_are_swept_in_one_call_and_differentiated():
    now = imitation_terms.Tracking(**_tracking())
    reward = imitation_terms.retarget_terms()

    def total(factor):
        return jax.tree.map(lambda leaf: leaf * factor, reward)(None, None, now)[0]

    factors = jnp.array([0.5, 1.0, 2.0])
    swept, slope = jax.jit(lambda f: (jax.vmap(total)(f), jax.vmap(jax.grad(total))(f)))(factors)
    np.testing.assert_allclose(swept, [total(f) for f in factors], rtol=1e-5)
    step = 1e-2
    difference = (total(1.0 + step) - total(1.0 - step)) / (2 * step)
    assert float(slope[1]) == pytest.approx(float(difference), rel=1e-2)


def test_gradients_are_finite_on_the_reference_and_beside_it():
    def loss(q, keypoints, quats):
        values = _arguments | {"q": q, "keypoints": keypoints}
        reward, _ = imitation.imitation_reward_maximal(
            _bodies, quats, _bodies, _bodies, _bodies, _quats, _bodies, _bodies
        )
        return imitation.retarget_reward(**values)["reward"] + reward

    _arguments = _tracking(0.0)
    _bodies, _quats = jnp.zeros((3, 3)), jnp.tile(jnp.array([1.0, 0, 0, 0]), (3, 1))
    gradient = jax.jit(jax.grad(loss, (0, 1, 2)))
    for quats in (_quats, -_quats):
        for leaf in gradient(_arguments["q"], _arguments["keypoints"], quats):
            assert np.isfinite(leaf).all()


def test_rotations_count_alike_for_both_signs_of_a_quaternion():
    quats = GENERATOR.normal(size=(4, 4))
    quats /= np.linalg.norm(quats, axis=1, keepdims=True)
    signs = np.array([1, -1, -1, 1])[:, None]
    assert float(imitation.mean_square_angle(quats, signs * quats)) < 1e-9


def test_maximal_and_site_terms_are_their_functions():
    bodies = [GENERATOR.normal(size=(4, n)).astype(np.float32) for n in (3, 4, 3, 3)]
    bodies[1] /= np.linalg.norm(bodies[1], axis=1, keepdims=True)
    others = [body + np.float32(0.1) for body in bodies]
    others[1] /= np.linalg.norm(others[1], axis=1, keepdims=True)
    reward, _ = imitation.imitation_reward_maximal(*bodies, *others)
    names = ("pos", "quat", "vel", "angvel")
    state = types.SimpleNamespace(
        bodies=imitation_terms.Bodies(**dict(zip(names, bodies, strict=True))),
        bodies_ref=imitation_terms.Bodies(**dict(zip(names, others, strict=True))),
    )
    total, _ = imitation_terms.maximal_terms()(None, None, state)
    assert float(total) == pytest.approx(float(reward), rel=1e-6)

    fields = {"qpos": 5, "qvel": 6, "rpos": (3, 3), "rangles": (3, 3), "rvel": (3, 6)}
    ours = {k: GENERATOR.normal(size=s).astype(np.float32) for k, s in fields.items()}
    theirs = {k: v + np.float32(0.05) for k, v in ours.items()}
    angle = np.float32(0.2)
    weights = {"qpos": 0.1, "qvel": 0.2, "rpos": 0.3, "rquat": 0.2, "rvel": 0.1}
    expected, terms = imitation.imitation_reward_relative_sites(
        ours["qpos"], theirs["qpos"], angle, ours["qvel"], theirs["qvel"], ours["rpos"],
        theirs["rpos"], ours["rangles"], theirs["rangles"], ours["rvel"], theirs["rvel"],
        weights=weights,
    )  # fmt: skip
    state = types.SimpleNamespace(
        sites=imitation_terms.Sites(root_quat_angle=angle, **ours),
        sites_ref=imitation_terms.Sites(root_quat_angle=np.float32(9.0), **theirs),
    )
    summed = imitation_terms.relative_site_terms()
    summed = summed.replace(weights=tuple(weights[n.split("_")[1]] for n in summed.names))
    total, found = summed(None, None, state)
    assert float(total) == pytest.approx(float(expected), rel=1e-6)
    assert {n.removeprefix("site_") for n in found} == set(terms)


def test_deepmimic_and_style_terms_are_their_functions():
    errors = {"pose": 0.2, "vel": 3.0, "end_eff": 0.01, "root": 0.02, "com": 0.05}
    state = types.SimpleNamespace(errors=errors, style_logit=jnp.float32(0.5))
    total, _ = imitation_terms.deepmimic_terms(12)(None, None, state)
    assert float(total) == pytest.approx(float(imitation.deepmimic_reward(errors, 12)), rel=1e-6)
    total, _ = imitation_terms.Style()(None, None, state)
    assert float(total) == pytest.approx(1.0 - 0.25 * 0.25)
    article = imitation.deepmimic_reward(
        errors, 12, sharpness=imitation.deepmimic_sharpness(12, com=40.0)
    )
    gap = 0.1 * (np.exp(-10 * 0.05) - np.exp(-40 * 0.05))
    assert float(imitation.deepmimic_reward(errors, 12) - article) == pytest.approx(gap, rel=1e-4)


def test_shapes_that_differ_are_refused():
    values = _tracking() | {"q": np.zeros(J + 1, np.float32)}
    with pytest.raises(ValueError, match=r"shapes \(8,\), \(7,\), \(7,\); they must agree"):
        imitation.retarget_reward(**values)
    with pytest.raises(ValueError, match="no com"):
        imitation.deepmimic_reward({"pose": 0, "vel": 0, "end_eff": 0, "root": 0}, 15)
