"""Values of partial solutions from known answers, without labels of steps: ReST-MCTS*.

Zhang et al. 2024, arXiv 2406.03816. Functions over one solution `[K]` or one tree `[N]`; batch with
`vmap`. In a tree node 0 is the root, with parent −1, and parents come before their children.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.credit.checks import at_least_float32, one_of, same_shape

FAR = 1 << 20
"""Steps to an answer that is nowhere."""


def weighted_reward(
    value_before: Float[Array, "..."], distance: Float[Array, "..."], wrong: Float[Array, "..."]
) -> Float[Array, "..."]:
    """w = (1 − v_{k−1}) / (m_k + 1) · (1 − 2 r_k) (eq. 1).

    `distance` m_k: fewest further steps to a right answer after this one (0 when it is reached);
    `wrong` r_k: 0 for a right step, 1 for a wrong one, or a probability.
    """
    value_before, distance, wrong = at_least_float32(value_before, distance, wrong)
    return (1.0 - value_before) / (distance + 1.0) * (1.0 - 2.0 * wrong)


def quality_values(
    distance: Float[Array, "K"], wrong: Float[Array, "K"], mask: Float[Array, "K"] | None = None
) -> Float[Array, "K"]:
    """v_0 = 0, v_k = max(v_{k−1} + w_k, 0): in [0, 1], rising to 1 along a right solution.

    Masked steps keep the value before them.
    """
    same_shape(distance=distance, wrong=wrong, mask=mask)
    distance, wrong = at_least_float32(distance, wrong)
    mask = jnp.ones_like(wrong) if mask is None else mask

    def step(value: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        distance, wrong, keep = inputs
        moved = jnp.maximum(value + weighted_reward(value, distance, wrong), 0.0)
        value = jnp.where(keep > 0, moved, value)
        return value, value

    return jax.lax.scan(step, jnp.zeros((), wrong.dtype), (distance, wrong, mask))[1]


class TreeValues(NamedTuple):
    """What a finished tree says of its nodes; leaves `[N]`."""

    steps: Int[Array, "N"]
    """m: 1 at a right end, 1 + the least of the children above it; off every right way that
    of the nearest ancestor that has one; `FAR` where there is no right end."""
    right: Bool[Array, "N"]
    """Some descendant (or the node) is a right end: the hard estimate."""
    value: Float[Array, "N"]
    has_sample: Bool[Array, "N"]
    """The node gives a training sample: not the root, in a tree with a right end."""


def infer_tree_values(
    parent: Int[Array, "N"],
    is_end: Bool[Array, "N"],
    correct: Bool[Array, "N"],
    valid: Bool[Array, "N"] | None = None,
) -> TreeValues:
    """Values of all nodes of a finished tree (section 3.3 and the official code).

    V of the root is 0, V = max(0, V_parent + (1 − V_parent) (±1) / m) with + where `right`. Nodes
    that are not `valid` count nothing and give no sample.
    """
    same_shape(parent=parent, is_end=is_end, correct=correct, valid=valid)
    parent, is_end, correct = (jnp.asarray(leaf) for leaf in (parent, is_end, correct))
    size = parent.shape[0]
    valid = jnp.ones((size,), bool) if valid is None else jnp.asarray(valid, bool)
    hit = is_end.astype(bool) & correct.astype(bool) & valid
    above = jnp.where((parent >= 0) & valid, parent, size)

    def upwards(node: Array, steps: Array) -> Array:
        node = size - 1 - node
        return steps.at[above[node]].min(jnp.minimum(steps[node] + 1, FAR), mode="drop")

    found = jax.lax.fori_loop(0, size, upwards, jnp.where(hit, 1, FAR).astype(jnp.int32))
    right = found < FAR

    def downwards(node: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        steps, value = carry
        up = jnp.maximum(parent[node], 0)
        root = parent[node] < 0
        steps = steps.at[node].set(
            jnp.where(right[node] | root, steps[node], steps[up]), mode="drop"
        )
        sign = jnp.where(right[node], 1.0, -1.0)
        moved = jnp.maximum(value[up] + (1.0 - value[up]) * sign / steps[node], 0.0)
        return steps, value.at[node].set(jnp.where(root, 0.0, moved))

    steps, value = jax.lax.fori_loop(0, size, downwards, (found, jnp.zeros((size,), jnp.float32)))
    has_sample = valid & (parent >= 0) & right[0]
    return TreeValues(steps, right & valid, jnp.where(has_sample, value, 0.0), has_sample)


def hard_estimates(
    written: Int[Array, "... n K"], correct: Bool[Array, "... n"]
) -> Bool[Array, "... n K+1"]:
    """Whether some sampled solution that shares the first k steps ends right, for k = 0 ... K.

    `written` numbers what each step wrote; solutions of one question are compared with each other
    (their merged prefixes are a tree).
    """
    same = written[..., :, None, :] == written[..., None, :, :]
    shared = jnp.cumprod(same, axis=-1) > 0
    shared = jnp.concatenate([jnp.ones_like(shared[..., :1]), shared], axis=-1)
    return jnp.any(shared & correct[..., None, :, None], axis=-2)


def route_values(
    parent: Int[Array, "N"], leaf: Int[Array, ""]
) -> tuple[Float[Array, "N"], Bool[Array, "N"]]:
    """`(value, has_sample)` from one accepted leaf: depth / D on its route of D steps; beside it
    (depth of the parent − 1) / D, at least 0. The root gives no sample."""
    parent, size = jnp.asarray(parent), parent.shape[0]

    def depths(node: Array, depth: Array) -> Array:
        up = jnp.maximum(parent[node], 0)
        return depth.at[node].set(jnp.where(parent[node] < 0, 0, depth[up] + 1))

    depth = jax.lax.fori_loop(0, size, depths, jnp.zeros((size,), jnp.int32))

    def climb(_: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        node, route = carry
        return jnp.maximum(parent[node], 0), route.at[node].set(True)

    _, route = jax.lax.fori_loop(0, size, climb, (leaf, jnp.zeros((size,), bool)))
    length = jnp.maximum(depth[leaf], 1).astype(jnp.float32)
    above = jnp.maximum(depth - 2, 0)
    return jnp.where(route, depth, above) / length, parent >= 0


def select_traces(
    correct: Bool[Array, "... n"],
    value: Float[Array, "... n"],
    rule: str = "threshold",
    threshold: float | Array = 0.75,
) -> Bool[Array, "... n"]:
    """Which traces the policy is trained on.

    "answer" keeps all with a right answer (ReST-EM); "threshold" those of them with a value of at
    least `threshold`; "best" the right one with the highest value of each question (last axis), the
    first of equals.
    """
    one_of("rule", rule, ("answer", "threshold", "best"))
    correct = correct.astype(bool)
    if rule == "answer":
        return correct
    if rule == "threshold":
        return correct & (value >= threshold)
    ranked = jnp.where(correct, value, -jnp.inf)
    best = jnp.argmax(ranked, axis=-1, keepdims=True)
    return correct & (jnp.arange(value.shape[-1]) == best)
