"""Search over solutions that are built step by step: MCTS*, beams, and votes over samples.

Steps are sampled from a policy and partial solutions are scored by a value in [0, 1]; there is no
fixed set of actions. Functions are for one question; batch with `vmap`. `SearchTree` has the array
layout of google-deepmind/mctx (per question `[N]` nodes, `children_index` `[N, branch]`), but its
back-up is the visit-weighted mean of the children, an unvisited child already has a value, and
there is no prior: ReST-MCTS* (Zhang et al. 2024, arXiv 2406.03816, and its official code).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxrl_rewards.core import record

NO_NODE = -1


class StepModel(NamedTuple):
    """What a search is made of; `state` is a partial solution, any pytree of arrays."""

    sample: Callable[[jax.Array, Any], tuple[Any, Any]]
    """`(key, state) -> (action, next state)`: one step of the policy."""
    value: Callable[[Any], Float[Array, ""]]
    """`state -> V` in [0, 1]."""
    ended: Callable[[Any], Bool[Array, ""]]
    """Whether a state is a finished solution."""


@record
class SearchTree:
    """A search in fixed arrays: N = 1 + iterations · branch nodes, node 0 the root."""

    parents: Int[Array, "N"]
    """Index of the parent; `NO_NODE` for the root and where no node is."""
    children_index: Int[Array, "N C"]
    """Children in order of sampling; `NO_NODE` where there is none (a duplicate of an earlier)."""
    node_values: Float[Array, "N"]
    raw_values: Float[Array, "N"]
    """The value model's own V, before simulation and back-up."""
    node_visits: Int[Array, "N"]
    depth: Int[Array, "N"]
    valid: Bool[Array, "N"]
    """A node is there."""
    expanded: Bool[Array, "N"]
    ended: Bool[Array, "N"]
    closed: Bool[Array, "N"]
    """Nothing below is left to try: visited ends, and nodes whose children are all closed."""
    embeddings: Any
    """The nodes' states; leaves `[N, ...]`."""
    accepted: Int[Array, ""]
    """The node that passed the gate; `NO_NODE` where none did."""
    policy_calls: Int[Array, ""]
    """Steps sampled from the policy."""


@record
class SearchNumbers:
    """Numbers of the search; the official ones."""

    exploration: Any = 0.7
    """c."""
    mixing: Any = 0.5
    """α: weight of the simulated value against the node's own."""
    unvisited: Any = 1.0
    """Added to the value of a child that was never visited."""
    end_gate: Any = 0.9
    """A finished solution with at least this value ends the search; above 1, none does."""


def ucb_scores(
    values: Float[Array, "C"],
    visits: Int[Array, "C"],
    parent_visits: Int[Array, ""],
    exploration: float | Array = 0.7,
    unvisited: float | Array = 1.0,
) -> Float[Array, "C"]:
    """V_c + c √(2 ln n_parent / n_c), or V_c + `unvisited` where n_c = 0."""
    known = jnp.maximum(visits, 1).astype(jnp.float32)
    spread = jnp.sqrt(2.0 * jnp.log(jnp.maximum(parent_visits, 1).astype(jnp.float32)) / known)
    return values + jnp.where(visits > 0, exploration * spread, unvisited)


def backup(
    parents: Int[Array, "N"],
    values: Float[Array, "N"],
    visits: Int[Array, "N"],
    leaf: Int[Array, ""],
    max_depth: int | None = None,
) -> tuple[Float[Array, "N"], Int[Array, "N"]]:
    """`(values, visits)` after a visit to `leaf`: it and its ancestors, bottom up, are visited once
    more and get the visit-weighted mean of their children's values (kept where no child was
    visited). `max_depth` bounds the depth of the leaf; N when None."""
    parents, values, visits = (jnp.asarray(leaf) for leaf in (parents, values, visits))
    steps = parents.shape[0] if max_depth is None else max_depth + 1

    def body(_: Array, carry: tuple) -> tuple:
        node, values, visits = carry
        here = jnp.maximum(node, 0)
        visits = visits.at[here].add(jnp.where(node >= 0, 1, 0))
        weight = jnp.where(parents == node, visits, 0).astype(values.dtype)
        total = jnp.sum(weight)
        mean = jnp.sum(weight * values) / jnp.maximum(total, 1.0)
        moves = (node >= 0) & (total > 0)
        values = values.at[here].set(jnp.where(moves, mean, values[here]))
        return jnp.where(node >= 0, parents[here], NO_NODE), values, visits

    start = (jnp.asarray(leaf, jnp.int32), values, visits)
    return jax.lax.fori_loop(0, steps, body, start)[1:]


def mcts_star(
    key: jax.Array,
    root: Any,
    model: StepModel,
    *,
    iterations: int,
    branch: int = 3,
    roll_steps: int = 3,
    roll_branch: int = 1,
    max_depth: int | None = None,
    numbers: SearchNumbers | None = None,
) -> SearchTree:
    """MCTS* from `root`: `iterations` times select, expand, simulate, back up.

    Every iteration samples `branch` children and rolls the best of them `roll_steps` steps further,
    greedily over `roll_branch` samples each. Children whose actions are equal are merged. Once a
    finished solution passed the gate, or nothing is left to try, nothing changes any more.
    `max_depth` bounds the number of steps of a solution (saves work); `iterations` when None.
    """
    if min(iterations, branch, roll_branch) < 1 or roll_steps < 0:
        raise ValueError(
            "iterations, branch and roll_branch must be at least 1 and roll_steps at least 0, got "
            f"{iterations}, {branch}, {roll_branch}, {roll_steps}"
        )
    numbers = numbers or SearchNumbers()
    depth = iterations if max_depth is None else min(max_depth, iterations)
    tree = _open(root, model, 1 + iterations * branch, branch)

    def iterate(tree: SearchTree, inputs: tuple[Array, Array]) -> tuple[SearchTree, None]:
        index, key = inputs
        key_select, key_expand, key_roll = jax.random.split(key, 3)
        node = _select(key_select, tree, numbers, depth)
        grown = _expand(key_expand, tree, node, 1 + index * branch, model)
        best = _best_child(grown, node)
        rolled, calls = _roll(key_roll, grown, best, model, roll_steps, roll_branch, numbers)
        ended = tree.ended[node]
        new = _choose(ended, tree, rolled)
        values, visits = backup(new.parents, new.node_values, new.node_visits, node, depth + 1)
        calls = jnp.where(ended, 0, branch + calls)
        good = ended & (tree.node_values[node] >= numbers.end_gate)
        new = new.replace(
            node_values=values,
            node_visits=visits,
            policy_calls=tree.policy_calls + calls,
            accepted=jnp.where(good, node, tree.accepted),
        )
        new = _close(new, node, depth + 1)
        stop = (tree.accepted >= 0) | tree.closed[0]
        return _choose(stop, tree, new), None

    steps = (jnp.arange(iterations), jax.random.split(key, iterations))
    return jax.lax.scan(iterate, tree, steps)[0]


def best_node(tree: SearchTree) -> Int[Array, ""]:
    """The accepted node, else the finished solution with the highest value, else any such node.

    Where no solution was finished the search was too shallow: count the answer as wrong.
    """
    there = tree.valid & (jnp.arange(tree.valid.shape[0]) > 0)
    finished = there & tree.ended
    among = jnp.where(jnp.any(finished), finished, there)
    best = jnp.argmax(jnp.where(among, tree.node_values, -jnp.inf))
    return jnp.where(tree.accepted >= 0, tree.accepted, best).astype(jnp.int32)


def state_of(tree: SearchTree, node: Int[Array, ""]) -> Any:
    """The partial solution at a node."""
    return jax.tree.map(lambda leaf: leaf[node], tree.embeddings)


def _open(root: Any, model: StepModel, size: int, branch: int) -> SearchTree:
    """A tree that holds the root alone."""

    def room(leaf: Array) -> Array:
        leaf = jnp.asarray(leaf)
        return jnp.zeros((size, *leaf.shape), leaf.dtype).at[0].set(leaf)

    def first(value: Any, dtype: Any) -> Array:
        return jnp.zeros((size,), dtype).at[0].set(value)

    zero, value = jnp.zeros((size,), jnp.int32), model.value(root)
    no = jnp.zeros((size,), bool)
    return SearchTree(
        parents=zero + NO_NODE,
        children_index=jnp.full((size, branch), NO_NODE, jnp.int32),
        node_values=first(value, jnp.float32),
        raw_values=first(value, jnp.float32),
        node_visits=zero,
        depth=zero,
        valid=first(True, bool),
        expanded=no,
        ended=first(model.ended(root), bool),
        closed=no,
        embeddings=jax.tree.map(room, root),
        accepted=jnp.asarray(NO_NODE, jnp.int32),
        policy_calls=jnp.zeros((), jnp.int32),
    )


def _select(key: jax.Array, tree: SearchTree, numbers: SearchNumbers, depth: int) -> Array:
    """The unexpanded node that UCB leads to; of equal children one at random."""
    keys = jax.random.split(key, depth + 1)

    def descend(node: Array, key: jax.Array) -> tuple[Array, None]:
        children = tree.children_index[node]
        at = jnp.maximum(children, 0)
        open_ = (children >= 0) & ~tree.closed[at]
        scores = ucb_scores(
            tree.node_values[at], tree.node_visits[at], tree.node_visits[node],
            numbers.exploration, numbers.unvisited,
        )  # fmt: skip
        scores = jnp.where(open_, scores, -jnp.inf)
        tied = open_ & (scores >= jnp.max(scores))
        chance = jnp.where(tied, jax.random.uniform(key, scores.shape), -1.0)
        onward = tree.expanded[node] & jnp.any(open_)
        return jnp.where(onward, at[jnp.argmax(chance)], node), None

    return jax.lax.scan(descend, jnp.zeros((), jnp.int32), keys)[0]


def _expand(
    key: jax.Array, tree: SearchTree, node: Array, slot: Array, model: StepModel
) -> SearchTree:
    """The tree with children of `node` in the slots from `slot` on."""
    branch = tree.children_index.shape[1]
    actions, states = jax.vmap(model.sample, (0, None))(
        jax.random.split(key, branch), state_of(tree, node)
    )
    new = ~_duplicates(actions, branch)
    slots = slot + jnp.arange(branch)
    values = jax.vmap(model.value)(states).astype(jnp.float32)
    return tree.replace(
        parents=tree.parents.at[slots].set(jnp.where(new, node, NO_NODE)),
        children_index=tree.children_index.at[node].set(jnp.where(new, slots, NO_NODE)),
        node_values=tree.node_values.at[slots].set(values),
        raw_values=tree.raw_values.at[slots].set(values),
        depth=tree.depth.at[slots].set(tree.depth[node] + 1),
        valid=tree.valid.at[slots].set(new),
        ended=tree.ended.at[slots].set(jax.vmap(model.ended)(states) & new),
        expanded=tree.expanded.at[node].set(True),
        embeddings=jax.tree.map(lambda a, b: a.at[slots].set(b), tree.embeddings, states),
    )


def _duplicates(actions: Any, count: int) -> Bool[Array, "C"]:
    """Which actions equal an earlier one."""

    def same(leaf: Array) -> Array:
        flat = leaf.reshape(count, -1)
        return jnp.all(flat[:, None] == flat[None, :], axis=-1)

    equal = jnp.all(jnp.stack([same(leaf) for leaf in jax.tree.leaves(actions)]), axis=0)
    return jnp.any(jnp.tril(equal, -1), axis=1)


def _best_child(tree: SearchTree, node: Array) -> Array:
    children = tree.children_index[node]
    values = jnp.where(children >= 0, tree.node_values[jnp.maximum(children, 0)], -jnp.inf)
    return jnp.maximum(children[jnp.argmax(values)], 0)


def _roll(
    key: jax.Array,
    tree: SearchTree,
    node: Array,
    model: StepModel,
    steps: int,
    branch: int,
    numbers: SearchNumbers,
) -> tuple[SearchTree, Array]:
    """Roll a new child greedily; its value moves to the best value met. `(tree, policy calls)`."""

    def step(carry: tuple, key: jax.Array) -> tuple[tuple, None]:
        state, best, calls = carry
        done = model.ended(state)
        _, states = jax.vmap(model.sample, (0, None))(jax.random.split(key, branch), state)
        values = jax.vmap(model.value)(states).astype(jnp.float32)
        top = jnp.argmax(values)
        taken = jax.tree.map(lambda leaf: leaf[top], states)
        best = jnp.where(done, best, jnp.maximum(best, values[top]))
        return (_choose(done, state, taken), best, calls + jnp.where(done, 0, branch)), None

    start = (state_of(tree, node), jnp.asarray(-jnp.inf, jnp.float32), jnp.zeros((), jnp.int32))
    (_, best, calls), _ = jax.lax.scan(step, start, jax.random.split(key, steps))
    own = tree.node_values[node]
    mixed = (1.0 - numbers.mixing) * own + numbers.mixing * jnp.where(calls > 0, best, 0.0)
    value = jnp.where(calls > 0, mixed, own)
    return tree.replace(
        node_values=tree.node_values.at[node].set(value),
        node_visits=tree.node_visits.at[node].add(1),
    ), calls


def _close(tree: SearchTree, node: Array, depth: int) -> SearchTree:
    """Close a visited end, and every ancestor whose children are all closed."""

    def climb(carry: tuple, _: None) -> tuple[tuple, None]:
        node, closed = carry
        here = jnp.maximum(node, 0)
        children = tree.children_index[here]
        all_closed = jnp.all((children < 0) | closed[jnp.maximum(children, 0)])
        closes = tree.ended[here] | (tree.expanded[here] & all_closed)
        closed = closed.at[here].set(closed[here] | ((node >= 0) & closes))
        return (jnp.where(node >= 0, tree.parents[here], NO_NODE), closed), None

    (_, closed), _ = jax.lax.scan(climb, (node, tree.closed), None, length=depth + 1)
    return tree.replace(closed=closed)


def _choose(condition: Array, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)


class Beams(NamedTuple):
    """What a beam search ends with; leaves `[beam, ...]`, the best first."""

    states: Any
    scores: Float[Array, "beam"]


def beam_search(
    key: jax.Array,
    root: Any,
    sample: Callable[[jax.Array, Any], tuple[Any, Any]],
    score: Callable[[Any, Any], Float[Array, ""]],
    ended: Callable[[Any], Bool[Array, ""]],
    *,
    beam: int,
    expand: int = 3,
    horizon: int,
) -> Beams:
    """`horizon` times: sample `expand` next steps of every kept prefix, keep the `beam` best.

    `score(before, after)` ranks a step by the states around it, e.g. by its effective reward
    (`credit.provers`); of finished prefixes the score stays. Equal ones keep their order.
    """
    if min(beam, expand, horizon) < 1:
        raise ValueError(
            f"beam, expand and horizon must be at least 1, got {beam}, {expand}, {horizon}"
        )
    states = jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf)[None], beam, axis=0), root)

    def one(key: jax.Array, state: Any, old: Array) -> tuple[Any, Array]:
        done = ended(state)
        _, nxt = sample(key, state)
        return _choose(done, state, nxt), jnp.where(done, old, score(state, nxt))

    def step(carry: tuple, key: jax.Array) -> tuple[tuple, None]:
        states, scores = carry
        keys = jax.random.split(key, (beam, expand))
        candidates, ranked = jax.vmap(jax.vmap(one, (0, None, None)))(keys, states, scores)
        # of a finished prefix a single copy goes on
        again = jax.vmap(ended)(states)[:, None] & (jnp.arange(expand) > 0)
        ranked = jnp.where(again, -jnp.inf, ranked).reshape(-1)
        top, chosen = jax.lax.top_k(ranked, beam)
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[chosen], candidates)
        return (flat, top), None

    start = (states, jnp.zeros((beam,), jnp.float32))
    (states, scores), _ = jax.lax.scan(step, start, jax.random.split(key, horizon))
    return Beams(states, scores)


def best_of_n(values: Float[Array, "n"], valid: Bool[Array, "n"] | None = None) -> Int[Array, ""]:
    """The sample with the highest value, the first of equals; 0 where none is valid."""
    values = values if valid is None else jnp.where(valid, values, -jnp.inf)
    return jnp.argmax(values)


def value_weighted_vote(
    answers: Int[Array, "n"],
    values: Float[Array, "n"],
    num_answers: int,
    valid: Bool[Array, "n"] | None = None,
) -> Int[Array, ""]:
    """The answer in 0 ... num_answers − 1 with the largest sum of values, the lowest of equals.

    Answers outside that range do not vote; −1 where nobody does.
    """
    answers, values = jnp.asarray(answers), jnp.asarray(values)
    votes = (answers >= 0) & (answers < num_answers)
    votes = votes if valid is None else votes & valid
    weight = jnp.where(votes, values, 0.0)
    total = jax.ops.segment_sum(weight, jnp.clip(answers, 0, num_answers - 1), num_answers)
    cast = jax.ops.segment_sum(
        votes.astype(jnp.int32), jnp.clip(answers, 0, num_answers - 1), num_answers
    )
    winner = jnp.argmax(jnp.where(cast > 0, total, -jnp.inf))
    return jnp.where(jnp.any(votes), winner, -1).astype(jnp.int32)


def self_consistency(
    answers: Int[Array, "n"], num_answers: int, valid: Bool[Array, "n"] | None = None
) -> Int[Array, ""]:
    """The most frequent answer (Wang et al. 2023); ties and invalid ones as in the other vote."""
    return value_weighted_vote(answers, jnp.ones(answers.shape), num_answers, valid)


def completion_values(
    key: jax.Array,
    state: Any,
    sample: Callable[[jax.Array, Any], tuple[Any, Any]],
    ended: Callable[[Any], Bool[Array, ""]],
    outcome: Callable[[Any], Float[Array, ""]],
    *,
    completions: int,
    horizon: int,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """`(Q, standard error)` of a state: the mean outcome of `completions` continuations by the
    policy, each of at most `horizon` steps; an unfinished one counts 0."""
    if min(completions, horizon) < 1:
        raise ValueError(
            f"completions and horizon must be at least 1, got {completions}, {horizon}"
        )

    def one(key: jax.Array) -> Array:
        def step(state: Any, key: jax.Array) -> tuple[Any, None]:
            return _choose(ended(state), state, sample(key, state)[1]), None

        last, _ = jax.lax.scan(step, state, jax.random.split(key, horizon))
        return jnp.where(ended(last), outcome(last), 0.0)

    found = jax.vmap(one)(jax.random.split(key, completions))
    return jnp.mean(found), jnp.std(found) / math.sqrt(completions)
