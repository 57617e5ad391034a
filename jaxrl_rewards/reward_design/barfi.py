"""BARFI's two objectives and the hypergradient between them.

A designer has a sparse primary reward and auxiliary terms of unknown worth. The aligned reward

    r_φ(s) = φ_0(s) + r_p + Σ_k φ_k(s) r_aux,k,   γ_φ = sigmoid(p),

is tuned so that the policy trained on it does well under `r_p` alone. Source: Gupta, Chandak,
Jordan, Thomas, Castro da Silva, "Behavior Alignment via Reward Function Optimization", NeurIPS
2023, arXiv 2310.19007.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxrl_rewards.core import InputError, record
from jaxrl_rewards.reward_design.implicit import Hypergradient, hypergradient
from jaxrl_rewards.reward_design.solvers import ImplicitSolver
from jaxrl_rewards.reward_design.trees import combine

PyTree = Any
Policy = Callable[[PyTree, Float[Array, "... D"]], Float[Array, "... A"]]
"""`policy(theta, features) -> logits` over discrete actions."""


@record
class Episodes:
    """Trajectories padded to one length; what lies under mask 0 is ignored."""

    features: Float[Array, "B H D"]
    actions: Int[Array, "B H"]
    primary: Float[Array, "B H"]
    auxiliary: Float[Array, "B H K"]
    mask: Float[Array, "B H"]
    """1 on the steps taken, 0 on padding."""


@record
class LinearPolicy:
    """Softmax policy with logits `features @ kernel + bias`."""

    kernel: Float[Array, "D A"]
    bias: Float[Array, "A"]


@record
class AlignedReward:
    """The outer parameters: linear weights in state features, and the discount's logit."""

    kernel: Float[Array, "D 1+K"]
    """Column 0 is the free term φ_0, column k the weight of auxiliary term k."""
    bias: Float[Array, "1+K"]
    discount_logit: Float[Array, ""]

    def weights(self, features: Float[Array, "... D"]) -> Float[Array, "... 1+K"]:
        """`φ_0 ... φ_K` in the states with these features."""
        return features @ self.kernel + self.bias

    @property
    def discount(self) -> Float[Array, ""]:
        """`γ_φ = sigmoid(p)`."""
        return jax.nn.sigmoid(self.discount_logit)


def linear_logits(theta: LinearPolicy, features: Float[Array, "... D"]) -> Float[Array, "... A"]:
    """Logits of the linear softmax policy."""
    return features @ theta.kernel + theta.bias


def discounted_returns(
    rewards: Float[Array, "H"], mask: Float[Array, "H"], gamma: Float[Array, ""]
) -> Float[Array, "H"]:
    """`G_t = m_t r_t + γ G_{t+1}` by a matrix of powers, which differentiates well in γ."""
    steps = jnp.arange(rewards.shape[0])
    ahead = steps[None, :] - steps[:, None]
    powers = jnp.where(ahead >= 0, gamma ** jnp.maximum(ahead, 0).astype(rewards.dtype), 0.0)
    return powers @ (mask * jnp.where(mask > 0, rewards, 0.0))


def potential_returns(
    primary: Float[Array, "H"],
    auxiliary: Float[Array, "H"],
    mask: Float[Array, "H"],
    gamma: Float[Array, ""],
) -> Float[Array, "H"]:
    """Returns of potential-based shaping with `r_aux(s_t)` as potential: `G_t − r_aux,t`.

    `γΦ(s_{t+1}) − Φ(s_t)` telescopes (Ng et al. 1999); the potential behind the end counts as 0.
    """
    return discounted_returns(primary, mask, gamma) - auxiliary


def surrogate_objective(
    logits: Float[Array, "B H A"],
    actions: Int[Array, "B H"],
    returns: Float[Array, "B H"],
    mask: Float[Array, "B H"],
    entropy_weight: Any,
) -> Float[Array, ""]:
    """`mean_b (1/H) Σ_t m_t log π(a_t|s_t) G_t + c Σ m·entropy / Σ m`, to be maximised.

    Divided by the padded length H, not by the number of steps taken. No `γ^t` and no importance
    weight.
    """
    log_policy = jax.nn.log_softmax(logits, axis=-1)
    chosen = jnp.take_along_axis(log_policy, actions[..., None], axis=-1)[..., 0]
    score = jnp.mean(jnp.sum(mask * chosen * returns, axis=-1) / mask.shape[-1])
    entropy = -jnp.sum(jnp.exp(log_policy) * log_policy, axis=-1)
    return score + entropy_weight * jnp.sum(mask * entropy) / jnp.maximum(jnp.sum(mask), 1.0)


def primary_objective(
    theta: PyTree,
    episodes: Episodes,
    gamma: Any,
    entropy_weight: Any = 0.0,
    policy: Policy = linear_logits,
) -> Float[Array, ""]:
    """The surrogate of the primary return J_p; `gamma` is fixed, 0.99 in the paper's code."""
    lift = jax.vmap(discounted_returns, (0, 0, None))
    returns = lift(episodes.primary, episodes.mask, jnp.asarray(gamma, episodes.primary.dtype))
    logits = policy(theta, episodes.features)
    return surrogate_objective(logits, episodes.actions, returns, episodes.mask, entropy_weight)


def aligned_rewards(phi: AlignedReward, episodes: Episodes) -> Float[Array, "B H"]:
    """`r_φ` of every step."""
    weights = phi.weights(episodes.features)
    return (
        weights[..., 0] + episodes.primary + jnp.sum(weights[..., 1:] * episodes.auxiliary, axis=-1)
    )


def aligned_objective(
    theta: PyTree,
    phi: AlignedReward,
    episodes: Episodes,
    entropy_weight: Any,
    policy: Policy = linear_logits,
    potential: Float[Array, "K"] | None = None,
) -> Float[Array, ""]:
    """The surrogate of the aligned return J_φ, with `γ_φ`.

    `potential` [K] adds potential-based shaping with `Σ_k potential_k r_aux,k(s_t)` on top.
    """
    lift = jax.vmap(discounted_returns, (0, 0, None))
    returns = lift(aligned_rewards(phi, episodes), episodes.mask, phi.discount)
    if potential is not None:
        returns = returns - episodes.auxiliary @ potential
    logits = policy(theta, episodes.features)
    return surrogate_objective(logits, episodes.actions, returns, episodes.mask, entropy_weight)


def barfi_hypergradient(
    theta: PyTree,
    phi: AlignedReward,
    on_policy: Episodes,
    buffer: Episodes,
    solver: ImplicitSolver,
    *,
    gamma: Any = 0.99,
    entropy_weight: Any = 0.25,
    reward_penalty: Any = 0.0,
    discount_penalty: Any = 0.0,
    policy: Policy = linear_logits,
    potential: Float[Array, "K"] | None = None,
) -> Hypergradient:
    """The ascent direction of `J_p(θ(φ)) − λ_r Σ ‖φ‖₂ − λ_γ γ_φ` in φ.

    J_p is estimated on `on_policy` episodes (without entropy bonus), the Hessian and the mixed
    derivative of J_φ on `buffer` episodes. The norms are of the kernel and of the bias, not
    squared; the penalty acts on γ, so the logit receives `−λ_γ γ(1 − γ)`. Shapes are checked;
    InputError names what does not fit.
    """
    check_episodes(on_policy, "on_policy")
    check_episodes(buffer, "buffer")
    check_reward(phi, buffer)

    def outer(theta: PyTree, phi: AlignedReward) -> Float[Array, ""]:
        return primary_objective(theta, on_policy, gamma, 0.0, policy)

    def inner(theta: PyTree, phi: AlignedReward) -> Float[Array, ""]:
        return aligned_objective(theta, phi, buffer, entropy_weight, policy, potential)

    def penalty(phi: AlignedReward) -> Float[Array, ""]:
        tiny = jnp.finfo(phi.kernel.dtype).tiny
        norms = [jnp.sqrt(jnp.sum(jnp.square(leaf)) + tiny) for leaf in (phi.kernel, phi.bias)]
        return reward_penalty * sum(norms) + discount_penalty * phi.discount

    answer = hypergradient(outer, inner, theta, phi, solver)
    return answer.replace(gradient=combine(1.0, answer.gradient, -1.0, jax.grad(penalty)(phi)))


def check_episodes(episodes: Episodes, name: str = "episodes") -> None:
    """InputError unless shapes agree, there is an episode, and (concrete) every one has a step."""
    shape = episodes.mask.shape
    if len(shape) != 2 or 0 in shape:
        raise InputError(f"{name}.mask must be [B, H] with B, H >= 1, got shape {shape}")
    for field, extra in (("features", 1), ("actions", 0), ("primary", 0), ("auxiliary", 1)):
        found = getattr(episodes, field).shape
        if found[:2] != shape or len(found) != 2 + extra:
            dims = "[B, H, ...]" if extra else "[B, H]"
            raise InputError(
                f"{name}.{field} must be {dims} with [B, H] = {shape} like the mask, got {found}"
            )
    if not isinstance(episodes.mask, jax.core.Tracer):
        empty = np.sum(np.asarray(episodes.mask), axis=1) <= 0
        if empty.any():
            number = int(np.argmax(empty))
            raise InputError(f"{name}.mask: episode {number} has no step; leave it out")
    for field in ("features", "primary", "auxiliary"):
        values = getattr(episodes, field)
        if not isinstance(values, jax.core.Tracer) and not np.all(np.isfinite(np.asarray(values))):
            raise InputError(f"{name}.{field} holds numbers that are not finite")


def check_reward(phi: AlignedReward, episodes: Episodes) -> None:
    """InputError unless `phi` fits the episodes' features and auxiliary terms."""
    features, terms = episodes.features.shape[-1], episodes.auxiliary.shape[-1]
    for name, found, expected in (
        ("kernel", phi.kernel.shape, (features, 1 + terms)),
        ("bias", phi.bias.shape, (1 + terms,)),
        ("discount_logit", phi.discount_logit.shape, ()),
    ):
        if found != expected:
            raise InputError(
                f"phi.{name} must have shape {expected} for {features} features and {terms} "
                f"auxiliary terms, got {found}"
            )
