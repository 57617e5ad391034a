"""MCTS* against plain Python over the same random steps; beams, votes and completions."""

import math
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_rewards.rollout.search import (
    SearchNumbers,
    StepModel,
    beam_search,
    best_node,
    best_of_n,
    completion_values,
    mcts_star,
    self_consistency,
    state_of,
    value_weighted_vote,
)

STEPS, CHOICES = 3, 4


def sample(key, state):
    """One of four digits."""
    digit = jax.random.randint(key, (), 0, CHOICES)
    written = state["digits"].at[jnp.minimum(state["count"], STEPS - 1)].set(digit)
    return digit, {"digits": written, "count": state["count"] + 1}


def value(state):
    """Different for every prefix, higher for the digits 3, 1, 2."""
    target = jnp.asarray([3, 1, 2])
    here = jnp.arange(STEPS) < state["count"]
    hits = jnp.sum(here & (state["digits"] == target))
    detail = jnp.sum(jnp.where(here, state["digits"] * jnp.asarray([1, 5, 25]), 0)) / 1000
    return (hits / STEPS * 0.8 + detail).astype(jnp.float32)


def ended(state):
    return state["count"] >= STEPS


MODEL = StepModel(sample, value, ended)
ROOT = {"digits": jnp.zeros((STEPS,), jnp.int32), "count": jnp.zeros((), jnp.int32)}


class Plain:
    """MCTS* in plain Python; the random steps are those of the keys."""

    def __init__(self, key, iterations, branch, roll_steps, gate):
        draw, worth = jax.jit(sample), jax.jit(value)
        self.nodes, self.accepted, self.calls = [self.node(None, ROOT, worth)], None, 0
        for own in jax.random.split(key, iterations):
            _, key_expand, key_roll = jax.random.split(own, 3)
            if self.accepted is not None or self.nodes[0]["closed"]:
                continue
            node = self.select()
            if node["ended"]:
                if node["V"] >= gate:
                    self.accepted = node
            else:
                seen = set()
                for k in jax.random.split(key_expand, branch):
                    digit, state = draw(k, node["state"])
                    self.calls += 1
                    if int(digit) not in seen:
                        seen.add(int(digit))
                        child = self.node(node, state, worth)
                        node["children"].append(child)
                        self.nodes.append(child)
                best = max(node["children"], key=lambda c: c["V"])
                self.roll(best, jax.random.split(key_roll, roll_steps), draw, worth)
            self.back_up(node)

    def node(self, parent, state, worth):
        v = float(worth(state))
        return {
            "parent": parent, "state": state, "V": v, "n": 0, "children": [],
            "ended": int(state["count"]) >= STEPS, "closed": False,
        }  # fmt: skip

    def select(self):
        node = self.nodes[0]
        while node["children"]:
            node = max((c for c in node["children"] if not c["closed"]), key=self.score)
        return node

    @staticmethod
    def score(child):
        if child["n"] == 0:
            return child["V"] + 1.0
        spread = math.sqrt(2 * math.log(max(child["parent"]["n"], 1)) / child["n"])
        return child["V"] + 0.7 * spread

    def roll(self, child, keys, draw, worth):
        state, met = child["state"], []
        for key in keys:
            if int(state["count"]) < STEPS:
                # one sample per step
                _, state = draw(jax.random.split(key, 1)[0], state)
                self.calls += 1
                met.append(float(worth(state)))
        if met:
            child["V"] = 0.5 * child["V"] + 0.5 * max(met)
        child["n"] += 1

    def back_up(self, node):
        while node is not None:
            node["n"] += 1
            total = sum(c["n"] for c in node["children"])
            if total:
                node["V"] = sum(c["n"] * c["V"] for c in node["children"]) / total
            every = node["children"] and all(c["closed"] for c in node["children"])
            node["closed"] = bool(node["ended"] or every)
            node = node["parent"]


@pytest.mark.parametrize("gate", [2.0, 0.85])
def test_the_search_is_that_of_plain_python(gate):
    sizes = {"iterations": 25, "branch": 2, "roll_steps": 2}
    numbers = SearchNumbers(end_gate=gate)
    run = jax.jit(
        jax.vmap(lambda k: mcts_star(k, ROOT, MODEL, max_depth=STEPS, numbers=numbers, **sizes))
    )
    keys = jax.random.split(jax.random.key(0), 4)
    trees = run(keys)
    for row, key in enumerate(keys):
        tree = jax.tree.map(lambda leaf, row=row: np.asarray(leaf[row]), trees)
        plain = Plain(key, gate=gate, **sizes)
        there = np.flatnonzero(tree.valid)
        assert len(there) == len(plain.nodes)
        assert int(tree.policy_calls) == plain.calls
        digits = [plain_node["state"]["digits"].tolist() for plain_node in plain.nodes]
        assert tree.embeddings["digits"][there].tolist() == digits
        np.testing.assert_allclose(
            tree.node_values[there], [n["V"] for n in plain.nodes], rtol=1e-4, atol=1e-5
        )
        assert tree.node_visits[there].tolist() == [n["n"] for n in plain.nodes]
        assert tree.closed[there].tolist() == [n["closed"] for n in plain.nodes]
        accepted = (
            -1
            if plain.accepted is None
            else there[next(i for i, n in enumerate(plain.nodes) if n is plain.accepted)]
        )
        assert int(tree.accepted) == accepted
    check_tree(trees)


def check_tree(trees):
    """Parents, children and depths agree, and nothing lies outside."""
    for row in range(trees.valid.shape[0]):
        tree = jax.tree.map(lambda leaf, row=row: np.asarray(leaf[row]), trees)
        for node in np.flatnonzero(tree.valid)[1:]:
            up = tree.parents[node]
            assert 0 <= up < node and node in tree.children_index[up]
            assert tree.depth[node] == tree.depth[up] + 1
        children = tree.children_index[tree.children_index >= 0]
        assert len(children) == len(set(children.tolist())) == tree.valid.sum() - 1


def test_the_answer_of_a_search():
    tree = jax.jit(
        lambda k: mcts_star(k, ROOT, MODEL, iterations=12, branch=16, numbers=SearchNumbers())
    )(jax.random.key(1))
    assert int(tree.valid[1:17].sum()) == CHOICES  # sixteen samples of four digits are merged
    answer = state_of(tree, best_node(tree))
    assert answer["digits"].tolist() == [3, 1, 2] and bool(ended(answer))
    shallow = jax.jit(lambda k: mcts_star(k, ROOT, MODEL, iterations=1, branch=2, roll_steps=0))(
        jax.random.key(1)
    )
    assert not bool(ended(state_of(shallow, best_node(shallow))))
    assert int(shallow.policy_calls) == 2
    with pytest.raises(ValueError, match="iterations, branch and roll_branch must be at least 1"):
        mcts_star(jax.random.key(0), ROOT, MODEL, iterations=0)


def test_a_wide_beam_with_an_exact_score_finds_the_answer():
    run = jax.jit(
        lambda key: beam_search(
            key,
            ROOT,
            sample,
            lambda before, after: value(after),
            ended,
            beam=4,
            expand=8,
            horizon=5,
        )
    )
    found = run(jax.random.key(0))
    assert found.states["digits"][0].tolist() == [3, 1, 2]
    assert found.states["count"].tolist() == [STEPS] * 4  # finished prefixes stay as they are
    scores = np.asarray(found.scores)
    assert np.all(scores[:-1] >= scores[1:])
    with pytest.raises(ValueError, match="beam, expand and horizon must be at least 1, got 0"):
        beam_search(
            jax.random.key(0), ROOT, sample, lambda b, a: value(a), ended, beam=0, horizon=2
        )


def test_votes_against_a_counter():
    random = np.random.default_rng(0)
    for _ in range(20):
        answers = random.integers(-1, 5, 9)  # -1 does not vote
        weights = random.random(9).astype(np.float32)
        cast = Counter(a for a in answers.tolist() if a >= 0)
        most = max(cast.values())
        assert self_consistency(answers, 5) == min(a for a, n in cast.items() if n == most)
        sums = {a: sum(weights[answers == a].tolist()) for a in cast}
        assert value_weighted_vote(answers, weights, 5) == max(sums, key=sums.get)
    assert value_weighted_vote(jnp.asarray([-1, 9]), jnp.ones(2), 5) == -1
    assert self_consistency(jnp.asarray([4, 2]), 5, jnp.asarray([True, False])) == 4
    assert best_of_n(jnp.asarray([0.1, 0.9, 0.5]), jnp.asarray([True, False, True])) == 2


def test_completions_estimate_the_chance():
    def outcome(state):
        return (state["digits"][STEPS - 1] == 2).astype(jnp.float32)

    def estimate(key, horizon):
        return completion_values(
            key, ROOT, sample, ended, outcome, completions=2000, horizon=horizon
        )

    mean, error = estimate(jax.random.key(0), STEPS)
    assert abs(mean - 1 / CHOICES) < 4 * error < 0.05
    assert estimate(jax.random.key(0), STEPS - 1)[0] == 0  # unfinished
