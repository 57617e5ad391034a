"""Reward models over all V texts of a world, trained online from the labels at hand.

A model's state is a pytree; `update` takes a fixed number of gradient steps, so it is jittable and
can be vmapped over seeds. The scores of the whole text table become the `labels` of a
`MessageReward`: the learner's program stays the same. Texts are bytes, see
`characters.encode_texts`. Source: Zheng et al. 2024 (ONI), arXiv 2410.23022.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, UInt8

from jaxrl_rewards.core import InputError, record
from jaxrl_rewards.reward_models.messages.characters import (
    TextNetwork,
    apply_text_network,
    init_text_network,
)
from jaxrl_rewards.reward_models.messages.ranking import (
    ScoreMoments,
    init_score_moments,
    ranking_loss,
    update_score_moments,
)
from jaxrl_rewards.reward_models.messages.reward import classification_reward, ranking_score

Metrics = dict[str, Array]


@dataclasses.dataclass(frozen=True)
class TextModelConfig:
    """Static sizes and numbers of a classifier or ranker."""

    network: TextNetwork = TextNetwork()
    steps: int = 32
    """Gradient steps per update."""
    batch_size: int = 256
    learning_rate: float = 1e-4

    def __post_init__(self):
        if self.steps < 1 or self.batch_size < 1:
            raise InputError(f"steps and batch_size must be positive, got {self}")
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"learning_rate must be positive, got {self.learning_rate}")


@record
class TextModelState:
    """Everything of a text model that changes."""

    params: Any
    opt_state: Any
    moments: ScoreMoments
    """Running moments of a ranker's scores; a classifier leaves them alone."""
    key: jax.Array
    step: Int[Array, ""]
    """Updates done."""


class Classifier(NamedTuple):
    """`init(key) -> state`, `update(state, codes [V, L], labels [V], known [V]) -> (state,
    metrics)`, `scores(state, codes) -> (reward [V], probability [V])`."""

    init: Callable[[jax.Array], TextModelState]
    update: Callable[..., tuple[TextModelState, Metrics]]
    scores: Callable[..., tuple[Array, Array]]


class Ranker(NamedTuple):
    """`init(key) -> state`, `update(state, codes [V, L], pairs [N, 2], labels [N], valid [N],
    heard [V]) -> (state, metrics)`, `scores(state, codes) -> reward [V]`."""

    init: Callable[[jax.Array], TextModelState]
    update: Callable[..., tuple[TextModelState, Metrics]]
    scores: Callable[..., Array]


def make_classifier(config: TextModelConfig | None = None, threshold: float = 0.5) -> Classifier:
    """Cross-entropy on labelled texts; the reward is `1[p > threshold]`.

    Batches are drawn evenly from the labelled texts. Without a label an update changes nothing.
    """
    config = config or TextModelConfig(network=TextNetwork(outputs=2))
    if config.network.outputs != 2:
        raise InputError(f"a classifier has 2 outputs, got {config.network.outputs}")

    def loss_fn(params, batch):
        codes, labels = batch
        logits = apply_text_network(params, codes, config.network)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        correct = jnp.argmax(logits, axis=-1) == labels
        return jnp.mean(losses), jnp.mean(correct.astype(jnp.float32))

    def update(
        state: TextModelState,
        codes: UInt8[Array, "V L"],
        labels: Float[Array, "V"],
        known: Bool[Array, "V"],
    ) -> tuple[TextModelState, Metrics]:
        def draw(key):
            index = _draw(key, known, config.batch_size)
            return codes[index], labels[index].astype(jnp.int32)

        return _train(config, state, loss_fn, draw, jnp.any(known))

    def scores(state: TextModelState, codes: UInt8[Array, "V L"]) -> tuple[Array, Array]:
        return classification_reward(
            apply_text_network(state.params, codes, config.network), threshold
        )

    return Classifier(lambda key: _init(config, key), update, scores)


def make_ranker(config: TextModelConfig | None = None, threshold: float = -0.5) -> Ranker:
    """The preference loss on pairs of texts; the reward is `z · 1[z > threshold]`.

    `z` is the score under running moments of the scores of all messages heard, each as often as
    it was heard (`heard`, counts of the last rollout).
    """
    config = config or TextModelConfig(network=TextNetwork(outputs=1))
    if config.network.outputs != 1:
        raise InputError(f"a ranker has 1 output, got {config.network.outputs}")

    def score(params, codes):
        return apply_text_network(params, codes, config.network)[..., 0]

    def loss_fn(params, batch):
        codes, labels = batch
        both = score(params, codes.reshape(-1, codes.shape[-1])).reshape(1, -1, 2)
        return ranking_loss(both, labels)

    def update(
        state: TextModelState,
        codes: UInt8[Array, "V L"],
        pairs: Int[Array, "N 2"],
        labels: Int[Array, "N"],
        valid: Bool[Array, "N"],
        heard: Float[Array, "V"],
    ) -> tuple[TextModelState, Metrics]:
        def draw(key):
            index = _draw(key, valid, config.batch_size)
            return codes[pairs[index]], labels[index]

        state, metrics = _train(config, state, loss_fn, draw, jnp.any(valid))
        weight = heard.astype(jnp.float32).at[0].set(0.0)
        moments = update_score_moments(state.moments, score(state.params, codes), weight)
        return state.replace(moments=moments), metrics

    def scores(state: TextModelState, codes: UInt8[Array, "V L"]) -> Float[Array, "V"]:
        raw = score(state.params, codes)
        return ranking_score(raw, state.moments.mean, state.moments.var, threshold)

    return Ranker(lambda key: _init(config, key), update, scores)


def _init(config: TextModelConfig, key: jax.Array) -> TextModelState:
    key_params, key_run = jax.random.split(key)
    params = init_text_network(key_params, config.network)
    return TextModelState(
        params=params,
        opt_state=optax.adam(config.learning_rate).init(params),
        moments=init_score_moments(),
        key=key_run,
        step=jnp.zeros((), jnp.int32),
    )


def _draw(key: jax.Array, allowed: Bool[Array, "N"], count: int) -> Int[Array, "count"]:
    """Evenly from the allowed entries, with repetition; entry 0 where none is."""
    total = jnp.cumsum(allowed.astype(jnp.int32))
    rank = jax.random.randint(key, (count,), 0, jnp.maximum(total[-1], 1))
    found = jnp.searchsorted(total, rank, side="right")
    return jnp.where(total[-1] > 0, found, 0)


def _train(
    config: TextModelConfig,
    state: TextModelState,
    loss_fn: Callable[[Any, Any], tuple[Array, Array]],
    draw: Callable[[jax.Array], Any],
    any_data: Bool[Array, ""],
) -> tuple[TextModelState, Metrics]:
    """Gradient steps on fresh batches; none where there is no data."""
    optimiser = optax.adam(config.learning_rate)

    def step(carry, key):
        params, opt_state = carry
        (loss, accuracy), grads = jax.value_and_grad(loss_fn, has_aux=True)(params, draw(key))
        updates, opt_state = optimiser.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), (loss, accuracy)

    keys = jax.random.split(jax.random.fold_in(state.key, state.step), config.steps)
    old = (state.params, state.opt_state)
    new, (loss, accuracy) = jax.lax.scan(step, old, keys)
    params, opt_state = jax.tree.map(lambda n, o: jnp.where(any_data, n, o), new, old)
    metrics = {
        "loss": jnp.where(any_data, jnp.mean(loss), 0.0),
        "accuracy": jnp.where(any_data, jnp.nanmean(accuracy), jnp.nan),
    }
    return state.replace(params=params, opt_state=opt_state, step=state.step + 1), metrics
