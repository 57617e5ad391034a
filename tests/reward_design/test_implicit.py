"""Hypergradients against known answers, against each other, and what happens when they fail."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl_rewards.core import InputError
from jaxrl_rewards.networks.mlp import mlp, mlp_init
from jaxrl_rewards.reward_design import implicit, known_answers
from jaxrl_rewards.reward_design.barfi import (
    AlignedReward,
    Episodes,
    aligned_objective,
    primary_objective,
)
from jaxrl_rewards.reward_design.trees import norm

PROBLEMS = {
    "quadratic": known_answers.quadratic_problem,
    "soft MDP": known_answers.soft_mdp_problem,
}


BOTH = ("quadratic", pytest.param("soft MDP", marks=pytest.mark.slow))  # slow to compile


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@functools.cache
def problem(name):
    return PROBLEMS[name]()


@functools.cache
def answers(name):
    """All solvers on one problem, in one program (compiling is what costs)."""
    one = problem(name)
    alpha = 1.0 / one.largest_curvature
    short = 0.7 * alpha
    update = implicit.gradient_ascent(one.inner, short)
    solvers = {
        "exact": implicit.exact(1e-9),
        "first order": implicit.first_order(),
        "series": implicit.neumann(short, 4),
        "unrolled": implicit.unrolled(update, 5),
        "remat": implicit.unrolled(update, 5, remat=True),
        "fixed point": implicit.fixed_point(update, 4),
        "differences": implicit.finite_difference(one.solve, 1e-4),
    }
    if name == "soft MDP":  # slow to compile: what decides
        solvers = {key: solvers[key] for key in ("exact", "first order", "series", "unrolled")}
    solvers |= {f"CG {n}": implicit.conjugate_gradients(n) for n in (5, 20, 40)}
    solvers |= {f"Neumann {n}": implicit.neumann(alpha, n) for n in (5, 20, 100, 999)}

    @jax.jit
    def run(theta, phi):
        return {
            label: implicit.hypergradient(one.outer, one.inner, theta, phi, solver)
            for label, solver in solvers.items()
        }

    return jax.device_get(run(one.theta, one.phi))


def estimate(name, solver):
    """One more solver, on the quadratic problem mostly: cheap to compile."""
    one = problem(name)
    return jax.jit(
        lambda theta, phi, s: implicit.hypergradient(one.outer, one.inner, theta, phi, s)
    )(one.theta, one.phi, solver)


def error(name, label):
    return float(known_answers.relative_error(answers(name)[label].gradient, problem(name).answer))


# ------------------------------------------------------------------ known answers


@pytest.mark.parametrize("name", BOTH)
def test_solvers_reach_the_known_answer(name):
    assert error(name, "exact") < 1e-7
    assert error(name, "CG 40") < 1e-5
    assert error(name, "Neumann 999") < 1e-3
    if name == "quadratic":
        assert error(name, "differences") < 1e-8
    found = answers(name)["first order"].gradient
    cosine = known_answers.cosine(found, problem(name).answer)
    assert 0.9 < float(cosine) < 0.999  # a useful direction, but not the answer
    assert float(answers(name)["exact"].stationarity) < 1e-12
    assert all(int(found.fallbacks) == 0 for found in answers(name).values())


@pytest.mark.parametrize("name", BOTH)
def test_more_terms_are_closer(name):
    errors = [error(name, f"Neumann {loops}") for loops in (5, 20, 100)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert error(name, "CG 5") > 100 * error(name, "CG 20")


@pytest.mark.parametrize("name", BOTH)
def test_unrolled_steps_are_neumann_terms_at_the_optimum(name):
    """k steps of size α are the series with k − 1 loops, for plain, remat and fixed-point forms."""
    series = answers(name)["series"].gradient
    for label in {"unrolled", "remat", "fixed point"} & set(answers(name)):
        found = answers(name)[label].gradient
        assert float(known_answers.relative_error(found, series)) < 1e-10, label


def test_damping_costs_what_it_adds():
    """On the quadratic problem the damped answer is that of `P + λI`, by NumPy."""
    one, damping = problem("quadratic"), 0.3
    hessian = np.asarray(jax.hessian(one.inner)(one.theta, one.phi))
    mixed = np.asarray(jax.jacobian(jax.grad(one.inner), argnums=1)(one.theta, one.phi))
    vector, direct = jax.grad(one.outer, argnums=(0, 1))(one.theta, one.phi)
    expected = direct + mixed.T @ np.linalg.solve(damping * np.eye(20) - hessian, vector)
    for solver in (
        implicit.exact(damping),
        implicit.conjugate_gradients(40, damping),
        implicit.neumann(0.2, 500, damping),
    ):
        found = estimate("quadratic", solver).gradient
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_products_are_those_of_the_full_matrices():
    one = problem("quadratic")
    u = jnp.asarray(np.random.default_rng(3).standard_normal(20))
    hessian = jax.hessian(one.inner)(one.theta, one.phi)
    mixed = jax.jacobian(jax.grad(one.inner), argnums=1)(one.theta, one.phi)
    product = implicit.hessian_product(one.inner, one.theta, one.phi)
    np.testing.assert_allclose(product(u), hessian @ u, atol=1e-12)
    np.testing.assert_allclose(
        implicit.mixed_product(one.inner, one.theta, one.phi, u), u @ mixed, atol=1e-12
    )


# ------------------------------------------------------------------ unrolling


def test_unrolling_through_an_optimiser_is_its_derivative():
    """The carry holds Adam's integers; compared with differences of the same five updates."""
    one, optimiser = problem("quadratic"), optax.adam(0.05)
    start = (one.theta + 0.3, optimiser.init(one.theta))

    def update(carry, phi):
        theta, state = carry
        steps, state = optimiser.update(-jax.grad(one.inner)(theta, phi), state)
        return optax.apply_updates(theta, steps), state

    def train(carry, phi):
        return jax.lax.fori_loop(0, 5, lambda _, c: update(c, phi), carry)

    def outer(carry, phi):
        return one.outer(carry[0], phi)

    @jax.jit
    def run(start, phi):
        solvers = implicit.unrolled(update, 5, remat=True), implicit.finite_difference(train, 1e-5)
        return [implicit.hypergradient(outer, None, start, phi, s) for s in solvers]

    one_way, other = run(start, one.phi)
    found, check = one_way.gradient, other.gradient
    assert int(one_way.fallbacks) == 0 and np.isnan(one_way.stationarity)
    assert float(known_answers.relative_error(found, check)) < 1e-7


def test_evolution_strategies_agree_within_their_noise():
    one = problem("quadratic")
    solver = implicit.evolution_strategies(one.solve, jax.random.key(0), pairs=2048, sigma=0.01)
    # The relative error of the antithetic estimate of a linear function is √((n + 1) / pairs).
    expected = np.sqrt(7 / 2048)
    found = estimate("quadratic", solver).gradient
    distance = float(known_answers.relative_error(found, problem("quadratic").answer))
    assert 0.2 * expected < distance < 2 * expected


# ------------------------------------------------------------------ a neural policy


def neural_problem():
    """BARFI's own objectives for a small network: 3 inputs, 5 hidden units, 3 actions."""
    draw = np.random.default_rng(5)
    batch, horizon, size, actions = 24, 4, 3, 3
    features = jnp.asarray(draw.standard_normal((batch, horizon, size)))
    episodes = Episodes(
        features=features,
        actions=jnp.asarray(draw.integers(0, actions, (batch, horizon))),
        primary=jnp.asarray(draw.random((batch, horizon)) + 0.5),  # positive: J_φ is concave-ish
        auxiliary=jnp.asarray(draw.random((batch, horizon, 1))),
        mask=jnp.asarray(np.arange(horizon) < draw.integers(2, horizon + 1, (batch, 1)), float),
    )
    theta = jax.tree.map(
        lambda leaf: leaf.astype(float), mlp_init(jax.random.key(1), (size, 5, actions))
    )
    phi = AlignedReward(
        kernel=jnp.asarray(0.2 * draw.standard_normal((size, 2))),
        bias=jnp.asarray([0.1, 0.3]),
        discount_logit=jnp.asarray(1.5),
    )

    def inner(theta, phi):
        return aligned_objective(theta, phi, episodes, 1.0, mlp) - 0.05 * norm(theta) ** 2

    def outer(theta, phi):
        return primary_objective(theta, episodes, 0.99, 0.0, mlp)

    def train(theta, phi):
        """Newton's method from nearby: quadratic convergence, so that differences are exact."""
        flat, unravel = jax.flatten_util.ravel_pytree(theta)
        slope = jax.grad(lambda f: inner(unravel(f), phi))
        curvature = jax.hessian(lambda f: inner(unravel(f), phi))
        step = lambda _, f: f - jnp.linalg.solve(curvature(f), slope(f))  # noqa: E731
        return unravel(jax.lax.fori_loop(0, 8, step, flat))

    def ascend(theta, phi):
        update = implicit.gradient_ascent(inner, 0.5)
        return jax.lax.fori_loop(0, 3000, lambda _, t: update(t, phi), theta)

    theta = jax.jit(lambda t, p: train(ascend(t, p), p))(theta, phi)
    return outer, inner, theta, phi, train


@pytest.mark.slow
def test_sign_and_magnitude_on_a_neural_policy():
    outer, inner, theta, phi, train = neural_problem()

    @jax.jit
    def answers(theta, phi):
        flat, unravel = jax.flatten_util.ravel_pytree(theta)
        curvature = jax.hessian(lambda f: inner(unravel(f), phi))(flat)
        solvers = (
            implicit.exact(),
            implicit.conjugate_gradients(60),
            implicit.finite_difference(train, 1e-4, batch=9),
        )
        found = [implicit.hypergradient(outer, inner, theta, phi, s) for s in solvers]
        return jnp.linalg.eigvalsh(curvature), found

    spectrum, (solved, iterated, check) = answers(theta, phi)
    assert float(spectrum.max()) < 0  # a strict maximum
    assert float(solved.stationarity) < 1e-9
    size = float(norm(check.gradient))
    assert size > 1e-3
    for found in (solved, iterated):
        assert int(found.fallbacks) == 0
        gap = jax.tree.map(lambda a, b: a - b, found.gradient, check.gradient)
        assert float(norm(gap)) < 1e-4 * size


# ------------------------------------------------------------------ failure is defined


def concave_or_not(curvature):
    """`J = ½ curvature θ² + θφ`, `F = 3θ + φ` at `θ = φ = 1`."""
    return (
        lambda theta, phi: 3.0 * theta + phi,
        lambda theta, phi: 0.5 * curvature * theta**2 + theta * phi,
        jnp.asarray(1.0),
        jnp.asarray(1.0),
    )


@pytest.mark.parametrize(
    ("curvature", "solver", "fallbacks", "expected"),
    [
        (-2.0, implicit.neumann(0.1, 400), 0, 2.5),  # 1 + 3 / 2
        (+2.0, implicit.neumann(0.5, 3000), 1, 4.0),  # the series overflows: 1 + 3
        (+2.0, implicit.conjugate_gradients(5), 1, 4.0),
        (0.0, implicit.exact(), 1, 4.0),  # singular
        (0.0, implicit.exact(0.5), 0, 7.0),  # damped: 1 + 3 / 0.5
        (-2.0, implicit.first_order(), 0, 4.0),
        (np.nan, implicit.conjugate_gradients(5), 1, 0.0),  # not even first order is finite
    ],
)
def test_fallbacks_are_first_order_and_counted(curvature, solver, fallbacks, expected):
    found = implicit.hypergradient(*concave_or_not(curvature), solver)
    assert int(found.fallbacks) == fallbacks
    if np.isnan(curvature):
        assert np.isfinite(found.gradient)
    else:
        np.testing.assert_allclose(found.gradient, expected, rtol=1e-9)


def test_a_direct_solver_that_blows_up_falls_back_too():
    outer, inner, theta, phi = concave_or_not(-2.0)
    wild = implicit.unrolled(lambda t, p: t * 1e200 * p, 3)
    found = implicit.hypergradient(outer, inner, theta, phi, wild)
    assert int(found.fallbacks) == 1 and float(found.gradient) == 4.0
    found = implicit.hypergradient(outer, None, theta, phi, wild)
    assert int(found.fallbacks) == 1 and float(found.gradient) == 0.0


def test_conjugate_gradients_keep_what_they_have_at_bad_curvature():
    """Diagonal with one negative entry: never NaN, and exact where the positive part decides."""
    diagonal = jnp.asarray([1.0, 4.0, -1.0])
    x, found = implicit.conjugate_gradient(lambda u: diagonal * u, jnp.asarray([1.0, 1.0, 0.0]), 9)
    np.testing.assert_allclose(x, [1.0, 0.25, 0.0], atol=1e-12)
    assert bool(found)
    x, found = implicit.conjugate_gradient(lambda u: diagonal * u, jnp.asarray([0.0, 0.0, 1.0]), 9)
    np.testing.assert_array_equal(x, 0.0)
    assert not bool(found)
    x, found = implicit.conjugate_gradient(lambda u: diagonal * u, jnp.zeros(3), 9)
    np.testing.assert_array_equal(x, 0.0)
    assert bool(found)  # the solution for a zero right-hand side


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: implicit.neumann(0.0, 5), "alpha must be above 0"),
        (lambda: implicit.neumann(0.1, -1), "loops must be at least 0"),
        (lambda: implicit.exact(-0.1), "damping must be at least 0"),
        (lambda: implicit.conjugate_gradients(0), "iterations must be above 0"),
        (lambda: implicit.unrolled(None, 0), "at least 1"),
        (lambda: implicit.fixed_point(None, -1), "loops must be at least 0"),
        (lambda: implicit.finite_difference(None, 0.0), "step"),
        (lambda: implicit.finite_difference(None, batch=0), "batch"),
        (lambda: implicit.evolution_strategies(None, None, sigma=0.0), "sigma"),
        (lambda: implicit.evolution_strategies(None, None, pairs=0), "pairs"),
    ],
)
def test_bad_numbers_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"solver": "neumann"}, "none of this module's"),
        ({"inner": None}, "needs an inner objective"),
        ({"theta": jnp.arange(3)}, "theta must be floating"),
        ({"phi": {"a": jnp.arange(2)}}, r"phi\['a'\] must be floating"),
        ({"outer": lambda t, p: t * p}, "outer objective must return one scalar"),
        ({"inner": lambda t, p: (t, p)}, "inner objective must return one scalar"),
        ({"solver": implicit.exact(limit=1)}, "exceeds its limit of 1"),
    ],
)
def test_bad_problems_are_refused(changes, message):
    given_ = {
        "outer": lambda t, p: jnp.sum(t) * jnp.sum(p),
        "inner": lambda t, p: jnp.sum(t) * jnp.sum(p),
        "theta": jnp.ones(2),
        "phi": jnp.ones(2),
        "solver": implicit.first_order(),
    }
    with pytest.raises(InputError, match=message):
        implicit.hypergradient(**{**given_, **changes})


# ------------------------------------------------------------------ transformations


def test_vmap_over_problems_steps_and_dampings_is_a_loop():
    """Outer parameters, inner solutions and the solver's own numbers are batched in one call."""
    one = problem("quadratic")
    draw = np.random.default_rng(1)
    phis = jnp.asarray(draw.standard_normal((4, 6)))
    thetas = jax.vmap(lambda phi: one.solve(None, phi))(phis)
    solvers = implicit.neumann(jnp.asarray([0.05, 0.1, 0.2, 0.9]), 300, jnp.asarray([0.0, 1, 2, 0]))
    call = lambda t, p, s: implicit.hypergradient(one.outer, one.inner, t, p, s)  # noqa: E731
    single, batched = jax.jit(call), jax.jit(jax.vmap(call))(thetas, phis, solvers)
    for row in range(4):
        alone = single(thetas[row], phis[row], jax.tree.map(lambda leaf: leaf[row], solvers))  # noqa: B023
        np.testing.assert_allclose(batched.gradient[row], alone.gradient, rtol=1e-9, atol=1e-12)
    # 0.9 exceeds 2 / 4: that row alone diverges, but 300 loops stay finite.
    assert batched.fallbacks.tolist() == [0, 0, 0, 0]
    assert float(jnp.abs(batched.gradient[3]).max()) > 1e20 > float(batched.gradient[:3].max())


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.floats(1.0, 50.0))
def test_conjugate_gradients_equal_elimination(seed, condition):
    """For any positive definite matrix, within as many steps as there are unknowns (and a few)."""
    draw = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(draw.standard_normal((6, 6)))
    matrix = basis @ np.diag(np.linspace(1, condition, 6)) @ basis.T
    vector = draw.standard_normal(6)
    x, found = _conjugate(jnp.asarray(matrix), jnp.asarray(vector))
    assert bool(found)
    np.testing.assert_allclose(x, np.linalg.solve(matrix, vector), rtol=1e-7, atol=1e-9)


@jax.jit
def _conjugate(matrix, vector):
    return implicit.conjugate_gradient(lambda u: matrix @ u, vector, 12)


def test_float32_trees_keep_their_dtype():
    with jax.enable_x64(False):
        theta = {"a": jnp.ones(3, jnp.float32), "b": jnp.ones((), jnp.float32)}
        phi = (jnp.full((3,), 0.5, jnp.float32),)

        def inner(theta, phi):
            return -jnp.sum(jnp.square(theta["a"] - phi[0])) - jnp.square(theta["b"])

        def outer(theta, phi):
            return jnp.sum(theta["a"] ** 2) + theta["b"]

        found = implicit.hypergradient(outer, inner, theta, phi, implicit.neumann(0.25, 60))
        assert found.gradient[0].dtype == jnp.float32
        np.testing.assert_allclose(found.gradient[0], 2.0, rtol=1e-5)  # 2θ · dθ/dφ, dθ/dφ = 1
