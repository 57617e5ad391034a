"""The reward algebra: sums, weights, schedules, masks and running standardisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.rewards import (
    Cosine,
    Linear,
    Piecewise,
    Renamed,
    resolve_schedules,
    reward_term,
    scheduled,
    weighted_sum,
)
from jaxrl_rewards.rewards.normalise import (
    init_term_statistics,
    normalise_terms,
    normalised_total,
    update_term_statistics,
)

PREV, ACTION, NEXT = jnp.float32(1.0), jnp.float32(-2.0), jnp.float32(3.0)


def progress(prev, action, nxt, scale=1.0):
    return scale * (nxt - prev)


def effort(prev, action, nxt):
    return action**2


def contact(prev, action, nxt, width=1.0):
    """Applies above 10 only; not a number elsewhere."""
    return jnp.where(nxt > 10, width * nxt, jnp.nan), nxt > 10


def terms():
    return (
        reward_term(progress, scale=2.0),
        reward_term(effort),
        reward_term(contact, width=1.5),
    )


def test_sums_products_and_negation():
    first, second, third = terms()
    total, named = (0.5 * first - 2 * second)(PREV, ACTION, NEXT)
    np.testing.assert_allclose(total, 0.5 * 4 - 2 * 4)
    assert {k: float(v) for k, v in named.items()} == {"progress": 4.0, "effort": 4.0}
    assert all(v.dtype == jnp.float32 for v in (total, *named.values()))
    np.testing.assert_allclose((-first)(PREV, ACTION, NEXT)[0], -4.0)
    np.testing.assert_allclose((3.0 * (first + second) * 0.5)(PREV, ACTION, NEXT)[0], 12.0)
    np.testing.assert_allclose(sum([first, second])(PREV, ACTION, NEXT)[0], 8.0)
    assert (first + second + third).names == ("progress", "effort", "contact")


def test_weight_zero_is_logged_only():
    total, named = (reward_term(effort) * 0.0 + reward_term(progress))(PREV, ACTION, NEXT)
    np.testing.assert_allclose(total, 2.0)
    np.testing.assert_allclose(named["effort"], 4.0)


def test_two_terms_of_one_name_are_refused_and_renaming_helps():
    first, *_ = terms()
    with pytest.raises(ValueError, match="two reward terms are called 'progress'.*Renamed"):
        first + 2.0 * first
    with pytest.raises(ValueError, match="'progress'"):
        weighted_sum((first, first), (1.0, 1.0))
    both = first + Renamed(term=reward_term(progress, scale=1.0), name="slow")
    total, named = both(PREV, ACTION, NEXT)
    np.testing.assert_allclose(total, 6.0)
    assert set(named) == {"progress", "slow"}


def test_rewards_times_rewards_and_two_schedules_are_refused():
    first, second, _ = terms()
    with pytest.raises(TypeError, match="by a number or a schedule"):
        first * second
    with pytest.raises(TypeError, match="one schedule"):
        Linear(start=0.0, stop=1.0) * (Linear(start=0.0, stop=1.0) * first)
    with pytest.raises(TypeError):
        first + 3.0


def test_what_does_not_apply_adds_nothing_to_value_or_gradient_of_the_weights():
    *_, third = terms()

    def loss(weight, nxt):
        return (weight * third + reward_term(progress))(PREV, ACTION, nxt)[0]

    grad = jax.jit(jax.value_and_grad(loss))
    value, gradient = grad(0.7, NEXT)
    np.testing.assert_allclose([value, gradient], [2.0, 0.0])
    value, gradient = grad(0.7, jnp.float32(12.0))
    np.testing.assert_allclose([value, gradient], [0.7 * 18 + 11, 18.0], rtol=1e-6)
    out = third.evaluate(PREV, ACTION, NEXT)
    assert out.total == 0 and out.terms["contact"] == 0 and not out.applicable["contact"]


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Linear(start=1.0, stop=3.0, begin=10.0, end=20.0), {0: 1, 10: 1, 15: 2, 20: 3, 99: 3}),
        (Cosine(start=0.0, stop=2.0, begin=0.0, end=8.0), {0: 0, 2: 1 - 0.5**0.5, 4: 1, 8: 2}),
        (Piecewise(boundaries=np.array([5.0, 9.0]), values=np.array([1.0, 4.0, 0.0])),
         {0: 1, 4: 1, 5: 4, 8: 4, 9: 0, 50: 0}),
    ],
)  # fmt: skip
def test_schedules_through_at(schedule, values):
    reward = schedule * reward_term(effort)
    for step, weight in values.items():
        np.testing.assert_allclose(schedule.at(step), weight, rtol=1e-5, atol=1e-6)
        same = scheduled(reward_term(effort), schedule)
        for one, factor in ((reward, 1.0), (-2.0 * reward, -2.0), (same, 1.0)):
            total = one.at(step)(PREV, ACTION, NEXT)[0]
            np.testing.assert_allclose(total, factor * weight * 4, rtol=1e-5, atol=1e-5)
    with pytest.raises(TypeError, match=r"the weight of 'effort' is a schedule.*reward.at"):
        reward(PREV, ACTION, NEXT)


def test_weights_are_replaced_by_name():
    reward = 2.0 * reward_term(effort) + 3.0 * reward_term(effort, name="other")
    changed = reward.with_weights({"other": 0.5})
    np.testing.assert_allclose(changed.weights, [2.0, 0.5])
    np.testing.assert_allclose(reward.weights, [2.0, 3.0])
    assert jax.tree.structure(changed) == jax.tree.structure(reward)
    moving = reward.with_weights({"effort": Linear(start=0.0, stop=1.0)})
    np.testing.assert_allclose(moving.at(1).weights, [1.0, 3.0])
    np.testing.assert_allclose(reward_term(effort).with_weights({"effort": 4}).weights, [4.0])
    with pytest.raises(ValueError, match="no term 'torque'; its terms: effort, other"):
        reward.with_weights({"torque": 0.0})

    @jax.jit
    @jax.grad
    def slope(weight):
        return reward.with_weights({"other": weight})(PREV, ACTION, NEXT)[0]

    np.testing.assert_allclose(slope(1.0), 4.0)


@pytest.mark.parametrize("half", [0.5, np.float32(0.5), np.array(0.5), jnp.float32(0.5)])
def test_numbers_of_every_kind_multiply_from_both_sides_and_divide(half):
    reward = reward_term(effort)
    for product in (half * reward, reward * half, reward / (1 / half)):
        np.testing.assert_allclose(product.weights, [0.5])
    with pytest.raises(TypeError, match="divided by a number"):
        reward / reward


def test_schedules_are_resolved_anywhere_in_params_with_a_traced_step():
    schedule = Linear(start=0.0, stop=1.0, begin=0.0, end=10.0)
    params = {"reward": schedule * reward_term(effort), "mass": jnp.float32(2.0)}

    @jax.jit
    def total(params, step):
        return resolve_schedules(params, step)["reward"](PREV, ACTION, NEXT)[0]

    np.testing.assert_allclose([total(params, s) for s in (0, 5, 10)], [0.0, 2.0, 4.0], rtol=1e-6)
    assert resolve_schedules(params, 3)["mass"] == 2.0
    assert total._cache_size() == 1


def test_candidates_are_swept_by_vmap_and_tuned_by_grad():
    def build(scale, weight):
        return weight * reward_term(progress, scale=scale) + 0.1 * reward_term(effort)

    rewards = jax.vmap(build)(jnp.arange(16.0), jnp.linspace(0, 1, 16))
    totals = jax.jit(jax.vmap(lambda r: r(PREV, ACTION, NEXT)[0]))(rewards)
    wanted = np.arange(16) * 2 * np.linspace(0, 1, 16) + 0.4
    np.testing.assert_allclose(totals, wanted, rtol=1e-5)
    gradient = jax.grad(lambda r: r(PREV, ACTION, NEXT)[0])(build(3.0, 0.5))
    np.testing.assert_allclose(gradient.weights, [6.0, 4.0], rtol=1e-6)  # the raw terms
    np.testing.assert_allclose(gradient.rewards[0].params["scale"], 0.5 * 2, rtol=1e-6)


def test_an_argument_of_jit_is_not_traced_again_for_other_numbers():
    calls = []

    @jax.jit
    def total(reward):
        calls.append(1)
        return reward(PREV, ACTION, NEXT)[0]

    for weight in (0.1, 0.7, 3.0):
        np.testing.assert_allclose(total(weight * reward_term(effort)), 4 * weight, rtol=1e-6)
    assert len(calls) == 1


update = jax.jit(update_term_statistics)


def test_running_standardisation_equals_numpy_over_the_steps_where_a_term_applied():
    rng, names = np.random.default_rng(0), ("one", "rare")
    statistics, seen = init_term_statistics(names), {name: [] for name in names}
    for _ in range(5):
        values = {n: (4 + 3 * rng.normal(size=(6, 4))).astype(np.float32) for n in names}
        masks = {"one": np.ones((6, 4), bool), "rare": rng.random((6, 4)) < 0.3}
        for name in names:
            seen[name].extend(values[name][masks[name]].astype(np.float64))
        dirty = {n: np.where(masks[n], values[n], np.nan).astype(np.float32) for n in names}
        statistics = update(statistics, dirty, masks)
    scaled = normalise_terms(statistics, values)
    centred = normalise_terms(statistics, values, centre=True)
    for name in names:
        kept = np.array(seen[name])
        assert statistics.count[name] == len(kept)
        np.testing.assert_allclose(statistics.mean[name], kept.mean(), rtol=1e-5)
        np.testing.assert_allclose(scaled[name], values[name] / kept.std(), rtol=1e-4)
        wanted = (values[name] - kept.mean()) / kept.std()
        np.testing.assert_allclose(centred[name], wanted, rtol=1e-3, atol=1e-4)

    reward = 0.5 * Renamed(term=reward_term(effort), name="one") + 2.0 * Renamed(
        term=reward_term(progress), name="rare"
    )
    total = normalised_total(reward, statistics, dirty, masks)
    wanted = 0.5 * values["one"] / np.std(seen["one"]) + np.where(
        masks["rare"], 2.0 * values["rare"] / np.std(seen["rare"]), 0.0
    )
    np.testing.assert_allclose(total, wanted, rtol=1e-4)


def test_constant_unseen_and_broken_terms_are_left_alone():
    statistics = init_term_statistics(("t",))
    value = {"t": np.full(3, 5.0, np.float32)}
    np.testing.assert_array_equal(normalise_terms(statistics, value)["t"], value["t"])
    statistics = update(statistics, value, {"t": np.ones(3, bool)})
    np.testing.assert_array_equal(normalise_terms(statistics, value)["t"], value["t"])
    broken = update(statistics, {"t": np.full(3, np.inf, np.float32)}, {"t": np.ones(3, bool)})
    for one, other in zip(jax.tree.leaves(statistics), jax.tree.leaves(broken), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_normalised_total_is_differentiable_in_the_weights():
    statistics = update(
        init_term_statistics(("effort",)),
        {"effort": np.array([1.0, 3.0, 5.0], np.float32)},
        {"effort": np.ones(3, bool)},
    )

    def loss(weight):
        reward = weight * reward_term(effort)
        terms = {"effort": jnp.asarray([2.0, jnp.nan])}
        applicable = {"effort": jnp.asarray([True, False])}
        return normalised_total(reward, statistics, terms, applicable).sum()

    np.testing.assert_allclose(jax.grad(loss)(0.5), 2.0 / np.std([1, 3, 5]), rtol=1e-5)
