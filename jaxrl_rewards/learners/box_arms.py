"""Many rewards compared: each teaches a copy of one policy to point, all on the same batches.

Arms and seeds are axes of one compiled program. Source of the method: Tang et al., GUI-G², 2025,
arXiv 2507.15846.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxrl_rewards.learners.box_tokens import box_batch, box_group_loss, fit_box_tokens
from jaxrl_rewards.networks.box_tokens import features, policy_logits

Score = Callable[[Any, Int[Array, "P N 4"], dict[str, Array]], Float[Array, "P N"]]
"""`(reward, tokens, batch) -> scores`; `batch` holds `targets` `[P, 4]` and `noise` `[P, N]`."""
Measure = Callable[[Float[Array, "N 4"], Float[Array, "N 4"]], dict[str, Array]]
"""`(boxes, targets) -> numbers`, boxes in pixels."""


class PointingTask(Protocol):
    """Targets, and the coordinate tokens that name boxes; see `jaxrl_envs.gui.targets.BoxTask`."""

    screen: int
    bins: int

    def draw(self, key: jax.Array, count: int) -> Float[Array, "count 4"]:
        """Targets in pixels."""
        ...

    def label(self, box: Float[Array, "... 4"], shift: Float[Array, "2"]) -> Int[Array, "... 4"]:
        """Tokens of boxes in pixels, displaced by `shift` times their sizes."""
        ...

    def decode(self, tokens: Int[Array, "... 4"]) -> Float[Array, "... 4"]:
        """Boxes in pixels of tokens."""
        ...


@dataclasses.dataclass(frozen=True)
class BoxArmsConfig:
    """Sizes and numbers of the two stages."""

    hidden: int = 128
    supervised_steps: int = 600
    supervised_batch: int = 128
    supervised_learning_rate: float = 2e-3
    prompts: int = 128
    """Targets per update."""
    answers: int = 8
    """Answers per target."""
    learning_rate: float = 5e-4
    second_moment_decay: float = 0.95
    """Adam's."""
    kl_weight: float = 0.04
    temperature: float = 0.9
    evaluate_every: int = 5
    """Updates per chunk."""


class BoxArms(NamedTuple):
    """Compiled functions; S seeds, A arms."""

    start: Callable[..., Any]
    """`(keys [S], shift [2]) -> (policies [S], losses [S, steps])`: trained on labels that are
    displaced by `shift` times the targets' sizes."""
    spread: Callable[..., Any]
    """`(policies [S], arms) -> (policies, optimiser states)`, both `[S, A]`."""
    chunk: Callable[..., Any]
    """`(policies, optimiser states, references [S], keys [S], rewards [A], targets [S, N, 4]) ->
    (policies, optimiser states, metrics)`: `evaluate_every` updates of each, then `measure`.
    The first two arguments are donated."""
    evaluate: Callable[..., Any]
    """`(policies [S], targets [S, N, 4]) -> measure`'s numbers `[S]`, of the most likely boxes."""
    targets: Callable[..., Any]
    """`(keys [S], N) -> [S, N, 4]`."""


def most_likely_boxes(
    params: Any, targets: Float[Array, "N 4"], task: PointingTask
) -> Float[Array, "N 4"]:
    """The box in pixels that a policy names first for every target."""
    logits = policy_logits(params, features(targets, float(task.screen)))
    return task.decode(jnp.argmax(logits, axis=-1))


def make_box_arms(
    task: PointingTask, score: Score, measure: Measure, config: BoxArmsConfig
) -> BoxArms:
    """The programs for one task; rewards that `score` is given differ in numbers only."""
    optimiser = optax.adam(config.learning_rate, b2=config.second_moment_decay)

    def spread(params: Any, arms: int) -> tuple[Any, Any]:
        params = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf[:, None], (leaf.shape[0], arms, *leaf.shape[1:])),
            params,
        )
        return params, jax.vmap(jax.vmap(optimiser.init))(params)

    def evaluate(params: Any, targets: Array) -> dict[str, Array]:
        return measure(most_likely_boxes(params, targets, task), targets)

    def start(key: jax.Array, shift: Array) -> Any:
        return _supervised(key, shift, task, config)

    one_seed = _updates_of_a_seed(task, score, optimiser, config)

    def chunk(params, opt_state, reference, keys, rewards, targets):
        params, opt_state, metrics = jax.vmap(one_seed, (0, 0, 0, 0, None))(
            params, opt_state, reference, keys, rewards
        )
        found = jax.vmap(jax.vmap(evaluate, (0, None)))(params, targets)
        return params, opt_state, metrics | found

    return BoxArms(
        start=jax.jit(jax.vmap(start, (0, None))),
        spread=jax.jit(spread, static_argnums=1),
        chunk=jax.jit(chunk, donate_argnums=(0, 1)),
        evaluate=jax.jit(jax.vmap(evaluate)),
        targets=jax.jit(jax.vmap(task.draw, (0, None)), static_argnums=1),
    )


def _supervised(key: jax.Array, shift: Array, task: PointingTask, config: BoxArmsConfig) -> Any:
    """A policy trained on labels that miss by `shift` times the targets' sizes."""

    def labelled(key: jax.Array) -> tuple[Array, Array]:
        targets = task.draw(key, config.supervised_batch)
        return targets, task.label(targets, shift)

    return fit_box_tokens(
        key,
        labelled,
        hidden=config.hidden,
        bins=task.bins,
        screen=float(task.screen),
        steps=config.supervised_steps,
        learning_rate=config.supervised_learning_rate,
    )


def _updates_of_a_seed(
    task: PointingTask, score: Score, optimiser: Any, config: BoxArmsConfig
) -> Callable[..., Any]:
    """A chunk of one seed: batches are shared by the arms, which are a vmap axis."""

    def loss(params, reward, batch):
        def judged(tokens):
            return score(reward, tokens, batch)

        return box_group_loss(params, judged, batch, config.temperature, config.kl_weight)

    def update(params, opt_state, reward, batch):
        gradient, metrics = jax.grad(loss, has_aux=True)(params, reward, batch)
        updates, opt_state = optimiser.update(gradient, opt_state)
        return optax.apply_updates(params, updates), opt_state, metrics

    def one_seed(params, opt_state, reference, key, rewards):
        def body(carry, key):
            params, opt_state = carry
            batch = box_batch(
                key,
                reference,
                task.draw,
                config.prompts,
                config.answers,
                screen=float(task.screen),
                temperature=config.temperature,
            )
            params, opt_state, metrics = jax.vmap(update, (0, 0, 0, None))(
                params, opt_state, rewards, batch
            )
            return (params, opt_state), metrics

        keys = jax.random.split(key, config.evaluate_every)
        (params, opt_state), metrics = jax.lax.scan(body, (params, opt_state), keys)
        return params, opt_state, jax.tree.map(lambda m: jnp.mean(m, axis=0), metrics)

    return one_seed
