"""Error and cost of every hypergradient solver.

Errors: relative to the known answer, float64. Costs: on a policy with two hidden layers of 64 tanh
units and 256 episodes of 50 steps, float32, as multiples of one policy update on the same episodes
(both timed in turn), with the scratch memory that the compiler reserves.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import report
from jaxrl_rewards.networks.mlp import mlp, mlp_init
from jaxrl_rewards.reward_design import implicit, known_answers
from jaxrl_rewards.reward_design.barfi import Episodes, aligned_objective, primary_objective
from jaxrl_rewards.reward_design.barfi_loop import reward_start

EPISODES, HORIZON, FEATURES, ACTIONS, HIDDEN = 256, 50, 16, 4, 64
SMALL = (8, 10)


def rows(options: Any) -> list[dict[str, Any]]:
    """The rows of errors, then those of costs; `options.quick` shrinks the policy's batch."""
    return error_rows() + cost_rows(options.repetitions, options.quick)


def error_rows() -> list[dict[str, Any]]:
    """Relative errors on the quadratic and the soft decision process."""
    found = []
    with jax.enable_x64(True):
        problems = {
            "quadratic, 20 unknowns": known_answers.quadratic_problem(),
            "soft MDP, 12 states, 3 actions": known_answers.soft_mdp_problem(),
        }
        for name, problem in problems.items():
            alpha = 1.0 / problem.largest_curvature
            update = implicit.gradient_ascent(problem.inner, alpha)
            solvers = {
                "exact, damping 1e-9": (implicit.exact(1e-9), 1e-4),
                "CG 5": (implicit.conjugate_gradients(5), None),
                "CG 20": (implicit.conjugate_gradients(20), None),
                "CG 40": (implicit.conjugate_gradients(40), 1e-4),
                "Neumann 5": (implicit.neumann(alpha, 5), None),
                "Neumann 20": (implicit.neumann(alpha, 20), None),
                "Neumann 100": (implicit.neumann(alpha, 100), None),
                "Neumann 1000": (implicit.neumann(alpha, 999), 1e-3),
                "unrolled 6": (implicit.unrolled(update, 6), None),
                "first order": (implicit.first_order(), None),
                "finite differences": (implicit.finite_difference(problem.solve), None),
                "evolution strategies, 512 pairs": (
                    implicit.evolution_strategies(problem.solve, jax.random.key(0), 512, 0.05),
                    None,
                ),
            }
            for label, (solver, required) in solvers.items():
                answer = jax.jit(
                    lambda theta, phi, s, p=problem: implicit.hypergradient(
                        p.outer, p.inner, theta, phi, s
                    )
                )(problem.theta, problem.phi, solver)
                error = float(known_answers.relative_error(answer.gradient, problem.answer))
                found.append(
                    report.row(
                        f"hypergradient error, {name}: {label}",
                        error,
                        None,
                        "known answer",
                        "relative error",
                        required=required,
                        lower_is_better=True,
                        cosine=round(
                            float(known_answers.cosine(answer.gradient, problem.answer)), 6
                        ),
                    )
                )
    return found


def cost_rows(repetitions: int, quick: bool) -> list[dict[str, Any]]:
    """Cost per solver in policy updates; medians of ratios of neighbouring calls."""
    episodes, horizon = SMALL if quick else (EPISODES, HORIZON)
    batch = random_episodes(jax.random.key(0), episodes, horizon)
    theta = mlp_init(jax.random.key(1), (FEATURES, HIDDEN, HIDDEN, ACTIONS))
    phi = reward_start(FEATURES, [0.5])

    def inner(theta, phi):
        return aligned_objective(theta, phi, batch, 0.25, mlp)

    def outer(theta, phi):
        return primary_objective(theta, batch, 0.99, 0.0, mlp)

    update = implicit.gradient_ascent(inner, 1e-3)
    solvers = {
        "first order": implicit.first_order(),
        "Neumann 5": implicit.neumann(1e-3, 5),
        "Neumann 20": implicit.neumann(1e-3, 20),
        "CG 5": implicit.conjugate_gradients(5, 1.0),
        "CG 20": implicit.conjugate_gradients(20, 1.0),
        "unrolled 1": implicit.unrolled(update, 1),
        "unrolled 5": implicit.unrolled(update, 5),
        "unrolled 5, remat": implicit.unrolled(update, 5, remat=True),
    }
    base, base_memory, _ = _compile(update, theta, phi)
    rows = []
    for label, solver in solvers.items():
        direct = isinstance(solver, implicit.DirectSolver)
        call, memory, seconds = _compile(
            lambda theta, phi, s=solver, d=direct: (
                implicit.hypergradient(outer, None if d else inner, theta, phi, s).gradient
            ),
            theta,
            phi,
        )
        ratios = []
        for _ in range(repetitions):
            one, other = _time(base), _time(call)
            ratios.append(other / one)
        rows.append(
            report.row(
                f"hypergradient cost: {label}",
                statistics.median(ratios),
                1.0,
                "one policy update",
                "policy updates",
                lower_is_better=True,
                all=[round(ratio, 2) for ratio in ratios],
                scratch_megabytes=_megabytes(memory),
                scratch_megabytes_of_update=_megabytes(base_memory),
                compile_seconds=round(seconds, 2),
            )
        )
    return rows


def random_episodes(key: jax.Array, count: int, horizon: int) -> Episodes:
    """Full-length episodes of random numbers; what they hold does not change the cost."""
    keys = jax.random.split(key, 4)
    shape = (count, horizon)
    return Episodes(
        features=jax.random.normal(keys[0], (*shape, FEATURES), dtype=jnp.float32),
        actions=jax.random.randint(keys[1], shape, 0, ACTIONS),
        primary=jax.random.uniform(keys[2], shape, dtype=jnp.float32),
        auxiliary=jax.random.uniform(keys[3], (*shape, 1), dtype=jnp.float32),
        mask=jnp.ones(shape),
    )


def _compile(function, *arguments):
    """`(call, scratch bytes, compile seconds)`."""
    start = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    seconds = time.perf_counter() - start
    analysis = compiled.memory_analysis()
    memory = getattr(analysis, "temp_size_in_bytes", None)
    jax.block_until_ready(compiled(*arguments))
    return lambda: jax.block_until_ready(compiled(*arguments)), memory, seconds


def _time(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _megabytes(size: int | None) -> float | None:
    return None if size is None else round(size / 1e6, 1)
