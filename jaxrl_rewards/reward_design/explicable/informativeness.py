"""How much a reward tells a learner: over several horizons, and for the policy it has now."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_design.explicable.planning import check_discount

POLICY_FLOOR = 1e-8
"""A learner's probabilities are taken as at least this: a deterministic policy sees no gain."""


def potential_shaped_reward(
    transition: Float[Array, "S A S"],
    discount: float,
    reward: Float[Array, "S A"],
    potential: Float[Array, "S"],
    terminal: Bool[Array, "S"] | None = None,
) -> Float[Array, "S A"]:
    """`R̄(s, a) + γ Σ_s' T(s'|s, a) V(s') − V(s)`: dense, fully informative with V = V*.

    With `terminal`, V counts as 0 where episodes end, without which shaping changes what is
    optimal. Ng, Harada, Russell 1999; the baseline of Devidze et al., NeurIPS 2021.
    """
    if terminal is not None:
        potential = jnp.where(terminal, 0.0, potential)
    return reward + discount * transition @ potential - potential[:, None]


def finite_gaps(
    transition: Float[Array, "S A S"],
    discount: float,
    actions: Int[Array, "S"],
    horizons: Sequence[int],
    reward: Float[Array, "S A"],
    terminal: Bool[Array, "S"] | None = None,
) -> Float[Array, "H S A"]:
    """`(A_h R)(s, a) = Q_h(s, π*(s)) − Q_h(s, a)` with `h + 1` rewards each, per horizon.

    By the recursion `Q_0 = R`, `Q_h = R + γ T Q_{h−1}(·, π*)`: no matrix of size S·A is built.
    What `reward` says in `terminal` states counts nothing: nothing is paid after an episode's end.
    InputError for horizons that are empty or negative.
    """
    if not len(horizons) or min(horizons) < 0:
        raise InputError(f"horizons must be one or more numbers from 0 on, got {list(horizons)}")
    if terminal is not None:
        reward = jnp.where(jnp.asarray(terminal)[:, None], 0.0, reward)
    return _finite_gaps(transition, discount, actions, tuple(map(int, horizons)), reward)


@functools.partial(jax.jit, static_argnames="horizons")
def _finite_gaps(transition, discount, actions, horizons, reward):
    chosen = actions[:, None]

    def step(q_values, _):
        following = jnp.take_along_axis(q_values, chosen, axis=1)[:, 0]
        nxt = reward + discount * transition @ following
        return nxt, q_values

    _, history = jax.lax.scan(step, reward, None, length=max(horizons) + 1)
    q_values = history[np.asarray(horizons)]
    return jnp.take_along_axis(q_values, chosen[None], axis=2) - q_values


def informativeness_exprd(
    transition: Float[Array, "S A S"],
    discount: float,
    actions: Int[Array, "S"],
    margins: Float[Array, "S"],
    horizons: Sequence[int],
    reward: Float[Array, "S A"],
    *,
    optimal: Bool[Array, "S A"] | None = None,
    terminal: Bool[Array, "S"] | None = None,
) -> Float[Array, ""]:
    """`I(R) = −1/(|H|·S) Σ_h Σ_s max(0, max_a [δ_s − (A_h R)(s, a)])`, at most 0.

    The inner maximum runs over all actions but π*(s), or, with `optimal`, over the actions that
    are not optimal, which is the objective of the programme (its margins are smaller by
    1 + 1e-5). A state without such an action counts 0, and what a `terminal` state pays counts
    nothing. Differentiable in `reward`. Devidze et
    al., NeurIPS 2021, equation 5.
    """
    gaps = finite_gaps(transition, discount, actions, horizons, reward, terminal)
    count = gaps.shape[-1]
    excluded = jax.nn.one_hot(jnp.asarray(actions), count, dtype=bool)
    if optimal is not None:
        excluded = jnp.asarray(optimal)
    short = jnp.asarray(margins)[None, :, None] - gaps
    worst = jnp.max(jnp.where(excluded[None], 0.0, short), axis=-1)
    return -jnp.mean(jnp.maximum(worst, 0.0))


def state_visitation(
    transition: Float[Array, "S A S"],
    discount: float,
    start: Float[Array, "S"],
    policy: Float[Array, "S A"],
    terminal: Bool[Array, "S"],
) -> Float[Array, "S"]:
    """`μ = (1 − γ)(I − γ P_πᵀ)⁻¹ μ_0`, 0 in terminal states, then normalised to sum 1.

    All zeros where only terminal states are visited. InputError for γ outside [0, 1).
    """
    check_discount(discount)
    step = jnp.einsum("sa,saz->sz", policy, transition)
    system = jnp.eye(len(step), dtype=step.dtype) - discount * step.T
    weight = jnp.linalg.solve(system, (1.0 - discount) * start)
    weight = jnp.where(terminal, 0.0, weight)
    total = jnp.sum(weight)
    return jnp.where(total > 0, weight / jnp.where(total > 0, total, 1.0), 0.0)


def adaptive_weights(
    teacher_advantages: Float[Array, "S A"],
    learner: Float[Array, "S A"],
    teacher_visits: Float[Array, "S"],
    learner_visits: Float[Array, "S"],
) -> Float[Array, "S A"]:
    """The reward coefficients `c` with which `I_L(R) = Σ c(s, a) R(s, a)`; float `[S, A]`.

    A learner's probabilities are floored at 1e-8.
    """
    learner = jnp.maximum(learner, POLICY_FLOOR)
    baseline = jnp.sum(learner * teacher_advantages, axis=1, keepdims=True)
    visits = (teacher_visits * learner_visits)[:, None]
    inner = visits * learner**2 * (teacher_advantages - baseline)
    return inner - learner * jnp.sum(inner, axis=1, keepdims=True)


def informativeness_adaptive(
    reward: Float[Array, "S A"],
    teacher_advantages: Float[Array, "S A"],
    learner: Float[Array, "S A"],
    teacher_visits: Float[Array, "S"],
    learner_visits: Float[Array, "S"],
) -> Float[Array, ""]:
    """`I_L(R) = Σ μ_T(s) μ_L(s) π_L(a|s)² (A_T − E_π A_T)(s, a) (R − E_π R)(s, a)`.

    The step that one policy gradient under `R` makes towards the teacher, for a learner π_L now.
    Devidze et al., AAMAS 2024, equation 6, with horizon 1.
    """
    weights = adaptive_weights(teacher_advantages, learner, teacher_visits, learner_visits)
    return jnp.sum(weights * reward)
