"""Finding a way through a directed graph, or saying that there is none."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from jaxrl_envs.language.task import Judged, Reader, TokenTask, check_level
from jaxrl_envs.language.tokens import TEXT, pack
from jaxrl_rewards.core import record

NODES = 8
"""Nodes "a" to "h"."""
FIRST, NONE = TEXT.id("a"), TEXT.id("-")


@record
class Graph:
    """Directed edges, and a question about them."""

    edges: Int[Array, "E 2"]
    count: Int[Array, ""]
    """Edges in use."""
    adjacent: Bool[Array, "N N"]
    distance: Int[Array, "N"]
    """Fewest edges from each node to the target; `NODES` where there is no way."""
    source: Int[Array, ""]
    target: Int[Array, ""]


@record
class Walk:
    """Where the walk has come to."""

    node: Int[Array, ""]
    sound: Bool[Array, ""]
    legal: Bool[Array, ""]


@dataclasses.dataclass(frozen=True)
class GraphPath(TokenTask):
    """`ab,cd,bc,ea:a>c=` is answered by `b;c$`, or by `-$` where there is no way.

    Level L plants a way of L edges among L others, and breaks it in one problem of four (chance may
    open another). A step names the next node; it is right if an edge leads there and the answer
    ends at the target only, and sound if the target can be reached from there. The verifier
    asks for a legal walk to the target, or `-` alone where there is none.
    """

    max_level: int = 4
    name: ClassVar[str] = "graph-path"
    step_size: ClassVar[int] = 1

    def __post_init__(self):
        check_level(self, NODES - 2)

    @property
    def prompt_size(self) -> int:
        """Tokens of the longest prompt."""
        return 6 * self.max_level + 4

    @property
    def answer_size(self) -> int:
        """Tokens that an answer may have."""
        return 2 * NODES

    def draw(self, key: jax.Array, level: Int[Array, ""]) -> Graph:
        """A random problem."""
        keys = jax.random.split(key, 6)
        nodes = jax.random.permutation(keys[0], NODES).astype(jnp.int32)
        place = jnp.arange(self.max_level)
        way = jnp.stack([nodes[place], nodes[place + 1]], axis=1)
        shape = (2 * self.max_level,)
        tail = jax.random.randint(keys[1], shape, 0, NODES, jnp.int32)
        head = (tail + jax.random.randint(keys[2], shape, 1, NODES, jnp.int32)) % NODES
        others = jnp.stack([tail, head], axis=1)
        broken = jax.random.bernoulli(keys[3], 0.25)
        cut = jax.random.randint(keys[4], (), 0, level, jnp.int32)
        way = jnp.where((broken & (place == cut))[:, None], others[self.max_level :], way)
        edges = jnp.concatenate([way, others[: self.max_level]])
        used = jnp.tile(place < level, 2)
        noise = jax.random.uniform(keys[5], shape)
        edges = edges[jnp.argsort(jnp.where(used, noise, 2.0))]
        count = 2 * level
        there = jnp.arange(2 * self.max_level) < count
        adjacent = jnp.zeros((NODES, NODES), bool)
        adjacent = adjacent.at[jnp.where(there, edges[:, 0], NODES), edges[:, 1]].set(
            True, mode="drop"
        )
        target = nodes[level]
        return Graph(
            edges=edges, count=count, adjacent=adjacent, distance=_distances(adjacent, target),
            source=nodes[0], target=target,
        )  # fmt: skip

    def prompt(self, problem: Graph) -> tuple[Int[Array, "P"], Int[Array, ""]]:
        """The prompt's tokens and their number."""
        place = jnp.arange(2 * self.max_level)
        marks = jnp.where(place == problem.count - 1, TEXT.id(":"), TEXT.id(","))
        edges = jnp.concatenate([FIRST + problem.edges, marks[:, None]], axis=1).reshape(-1)
        question = jnp.stack(
            [FIRST + problem.source, TEXT.id(">"), FIRST + problem.target, TEXT.id("=")]
        )
        keep = jnp.concatenate([jnp.repeat(place < problem.count, 3), jnp.ones((4,), bool)])
        return pack(jnp.concatenate([edges, question]), keep, self.prompt_size, TEXT.pad)

    def solution(self, problem: Graph) -> Int[Array, "T"]:
        """A right answer with right steps."""

        def step(node: Array, _: None) -> tuple[Array, Array]:
            nearer = problem.adjacent[node] & (problem.distance == problem.distance[node] - 1)
            node = jnp.where(jnp.any(nearer), jnp.argmax(nearer), node).astype(jnp.int32)
            return node, node

        way = jax.lax.scan(step, problem.source, None, length=NODES)[1]
        length = problem.distance[problem.source]
        none = length >= NODES
        place = jnp.arange(NODES)
        length = jnp.where(none, 1, length)
        names = jnp.where(none, NONE, FIRST + way)
        marks = jnp.where(place == length - 1, TEXT.end, TEXT.separator)
        tokens = jnp.stack([names, marks], axis=1).reshape(-1)
        return pack(tokens, jnp.repeat(place < length, 2), self.answer_size, TEXT.pad)[0]

    def start(self, problem: Graph) -> Walk:
        """Before the first step."""
        yes = jnp.ones((), bool)
        return Walk(node=problem.source, sound=yes, legal=yes)

    def judge(self, problem: Graph, reader: Reader, last: Bool[Array, ""]) -> Judged:
        """Judge a finished step."""
        memory, alone = reader.memory, reader.width == 1
        node = reader.buffer[0] - FIRST
        named = alone & (node >= 0) & (node < NODES)
        node = jnp.clip(node, 0, NODES - 1)
        there = node == problem.target
        legal = named & problem.adjacent[memory.node, node]
        so_far = memory.legal & legal
        no_way = problem.distance[problem.source] >= NODES
        denied = alone & (reader.buffer[0] == NONE) & (reader.step == 0) & last
        right = jnp.where(denied, no_way, legal & (~last | there))
        reached = denied | (problem.distance[node] < NODES)
        sound = memory.sound & right & reached
        correct = jnp.where(denied, no_way, so_far & there)
        node = jnp.where(named, node, memory.node)
        return Judged(Walk(node=node, sound=sound, legal=so_far), right, sound, correct)


def _distances(adjacent: Bool[Array, "N N"], target: Int[Array, ""]) -> Int[Array, "N"]:
    """Fewest edges from each node to the target; N where there is no way."""
    size = adjacent.shape[0]
    start = jnp.full((size,), size, jnp.int32).at[target].set(0)

    def relax(distance: Array, _: None) -> tuple[Array, None]:
        through = jnp.min(jnp.where(adjacent, distance[None, :] + 1, size), axis=1)
        return jnp.minimum(distance, through), None

    return jax.lax.scan(relax, start, None, length=size)[0]
