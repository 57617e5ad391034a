"""Labels and scores of a world's messages while a run learns: the host's part of ONI.

One part serves all seeds of a run. After every update it hears how often each of `V` texts was
met, picks up labels, asks about new texts, and gives `(labels [S, V], known [S, V])`, float32 and
bool, for the leaves of a `MessageReward`. Source: Zheng et al. 2024 (ONI), arXiv 2410.23022.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.reward_models.messages.characters import TextNetwork, encode_texts
from jaxrl_rewards.reward_models.messages.models import (
    TextModelConfig,
    make_classifier,
    make_ranker,
)
from jaxrl_rewards.train.annotation.annotators import ScriptedAnnotator
from jaxrl_rewards.train.annotation.pairs import ScriptedPairAnnotator, join_pair
from jaxrl_rewards.train.annotation.service import AnnotationService, AnnotationSettings

Given = tuple[np.ndarray, np.ndarray]


class OnlineLabels:
    """A `train.HostPart`: each text's reward is its label (retrieval).

    `services` holds one annotation service per seed and `random` one generator, which draws the
    `per_update` texts to ask about among those just heard that have no label. The first text is
    the empty message, which is never asked. After `dies_after` updates scripted annotators are
    dead. With services in mode "sync" the same updates give
    the same labels, bit for bit, also across `state_dict`. InputError where seeds differ in
    number or `heard` has another shape than `[S, V]`.
    """

    arrays: tuple[str, ...] = ("labels", "known")
    """What changes, beside the services and the generators."""

    def __init__(
        self,
        texts: Sequence[str],
        services: Sequence[AnnotationService],
        random: Sequence[np.random.Generator],
        per_update: int,
        *,
        dies_after: int | None = None,
    ):
        if len(services) != len(random):
            raise InputError(
                f"{len(services)} services came with {len(random)} generators; give one per seed"
            )
        self.texts, self.services, self.random = tuple(texts), list(services), list(random)
        self.per_update, self.dies_after = per_update, dies_after
        shape = (len(self.services), len(self.texts))
        self.labels, self.known = np.zeros(shape, np.float32), np.zeros(shape, bool)

    def exchange(self, update: int, told: Any) -> Given:
        """Copies of labels and of what is known, after hearing the counts `told` `[S, V]`."""
        heard = np.asarray(told)
        if heard.shape != self.labels.shape:
            raise InputError(
                f"told must hold counts of shape {self.labels.shape}, got {heard.shape}"
            )
        for seed, service in enumerate(self.services):
            if self.dies_after is not None:
                service.annotator.alive = update <= self.dies_after
            self.ask(seed, service, heard[seed])
        labels, known = self.scores(heard)
        # an array that shares memory with NumPy would change under the compiled program
        return np.array(labels, np.float32), np.array(known, bool)

    def ask(self, seed: int, service: AnnotationService, heard: np.ndarray) -> None:
        """Pick up labels of one seed, and ask about texts just heard."""
        for index, label in service.poll():
            self.labels[seed, index], self.known[seed, index] = label, True
        waiting = {index for index, _ in service.state_dict()["pending"]}
        unknown = np.flatnonzero((heard > 0) & ~self.known[seed])
        candidates = [int(i) for i in unknown if i > 0 and int(i) not in waiting]
        chosen = self.random[seed].permutation(candidates)[: self.per_update].astype(int)
        service.submit(chosen.tolist(), [self.texts[i] for i in chosen])

    def scores(self, heard: np.ndarray) -> Given:
        """What the learner gets, `[S, V]` each."""
        return self.labels, self.known

    def state_dict(self) -> dict[str, Any]:
        """All that changes, as JSON values; arrays keep their bits."""
        return {
            "arrays": {name: _pack(getattr(self, name)) for name in self.arrays},
            "random": [generator.bit_generator.state for generator in self.random],
            "services": [service.state_dict() for service in self.services],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`; InputError where it belongs to another number of seeds."""
        if len(state.get("services", ())) != len(self.services):
            raise InputError(
                f"the stored labels are of {len(state.get('services', ()))} seeds, this run has "
                f"{len(self.services)}; resume with the same seeds"
            )
        for name in self.arrays:
            setattr(self, name, _unpack(state["arrays"][name]))
        for generator, stored in zip(self.random, state["random"], strict=True):
            generator.bit_generator.state = stored
        for service, stored in zip(self.services, state["services"], strict=True):
            service.load_state_dict(stored)


class TemplateLabels(OnlineLabels):
    """Texts that are equal but for their digits share the majority of their labels, as soon as one
    of them has one."""

    def __init__(self, texts: Sequence[str], *others: Any, **more: Any):
        super().__init__(texts, *others, **more)
        plain = [re.sub(r"\d+", "#", text) for text in self.texts]
        self.templates = np.unique(plain, return_inverse=True)[1]

    def scores(self, heard: np.ndarray) -> Given:
        """Majority labels, and which templates have any."""
        groups = int(self.templates.max()) + 1
        pick = np.eye(groups, dtype=np.float32)[self.templates]
        votes = (self.labels * self.known) @ pick
        count = self.known.astype(np.float32) @ pick
        share = votes / np.maximum(count, 1.0)
        return (share > 0.5).astype(np.float32)[:, self.templates], (count > 0)[:, self.templates]


class LearntLabels(OnlineLabels):
    """A character network per seed, trained on the labels after every update, scores all texts.

    `key` starts the networks; `config` has two outputs. A seed's texts are known once one label is.
    """

    def __init__(
        self,
        texts: Sequence[str],
        services: Sequence[AnnotationService],
        random: Sequence[np.random.Generator],
        per_update: int,
        *,
        config: TextModelConfig,
        key: jax.Array,
        dies_after: int | None = None,
    ):
        super().__init__(texts, services, random, per_update, dies_after=dies_after)
        start, self.train, self.score = self.programs(config)
        self.codes = jnp.asarray(encode_texts(self.texts, config.network.length))
        self.model = start(jax.random.split(key, len(self.services)))

    def programs(self, config: TextModelConfig) -> tuple[Callable, Callable, Callable]:
        """`(init, update, scores)` of the network, over seeds."""
        return _classifier(config)

    def data(self, heard: np.ndarray) -> tuple[tuple, np.ndarray]:
        """What the network is trained on, and which seeds have anything `[S]`."""
        return (self.labels, self.known), self.known.any(axis=1)

    def scores(self, heard: np.ndarray) -> Given:
        """Scores after some more training."""
        data, any_label = self.data(heard)
        self.model, _ = self.train(self.model, self.codes, *data)
        values = np.asarray(self.score(self.model, self.codes))
        return values, np.broadcast_to(any_label[:, None], values.shape)

    def state_dict(self) -> dict[str, Any]:
        """See the base; with the networks and their optimisers."""
        return super().state_dict() | {"model": [_pack(x) for x in jax.tree.leaves(self.model)]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See the base."""
        super().load_state_dict(state)
        leaves, structure = jax.tree.flatten(self.model)
        stored = zip(state["model"], leaves, strict=True)
        self.model = structure.unflatten([_unpack(value, like) for value, like in stored])


class PreferredLabels(LearntLabels):
    """Like `LearntLabels`, from preferences between two messages just heard; one output.

    At most `MOST_PAIRS` pairs are asked per seed; a pair's id is its place in the buffer.
    """

    MOST_PAIRS = 512
    arrays = (*OnlineLabels.arrays, "pairs", "pair_labels", "pair_valid")

    def __init__(self, *arguments: Any, **more: Any):
        super().__init__(*arguments, **more)
        shape = (len(self.services), self.MOST_PAIRS)
        self.pairs = np.zeros((*shape, 2), np.int32)
        self.pair_labels, self.pair_valid = np.zeros(shape, np.int32), np.zeros(shape, bool)

    def programs(self, config: TextModelConfig) -> tuple[Callable, Callable, Callable]:
        """See the base."""
        return _ranker(config)

    def data(self, heard: np.ndarray) -> tuple[tuple, np.ndarray]:
        """See the base."""
        data = (self.pairs, self.pair_labels, self.pair_valid, heard.astype(np.float32))
        return data, self.pair_valid.any(axis=1)

    def ask(self, seed: int, service: AnnotationService, heard: np.ndarray) -> None:
        """Pick up preferences of one seed, and ask about fresh pairs."""
        for index, label in service.poll():
            self.pair_labels[seed, index], self.pair_valid[seed, index] = label, True
        ids = np.flatnonzero(heard)
        ids = ids[ids > 0]
        for _ in range(self.per_update):
            used = np.any(self.pairs[seed] > 0, axis=-1)
            if len(ids) < 2 or used.all():
                return
            place = int(np.argmin(used))
            pair = self.random[seed].choice(ids, 2, replace=False)
            self.pairs[seed, place] = pair
            service.submit([place], [join_pair(*(self.texts[i] for i in pair))])


PARTS: dict[str, type[OnlineLabels]] = {
    "retrieval": OnlineLabels,
    "template": TemplateLabels,
    "classification": LearntLabels,
    "ranking": PreferredLabels,
}


def scripted_labels(
    model: str,
    table: Any,
    *,
    seeds: int,
    root: int,
    per_update: int,
    latency: int = 2,
    noise: float = 0.0,
    garbage: float = 0.0,
    dies_after: int | None = None,
) -> OnlineLabels:
    """The host's part with scripted annotators, one per seed: offline, and alike in every run.

    `model` is one of `PARTS`; `table` has `texts` and whether each is `helpful`; `root` decides
    what is random. InputError for an unknown model.
    """
    if model not in PARTS:
        raise InputError(f"model {model!r} is unknown; choose one of {', '.join(PARTS)}")
    ranking = model == "ranking"
    helpful = {text: int(good) for text, good in zip(table.texts, table.helpful, strict=True)}
    settings = AnnotationSettings(
        mode="sync",
        batch_size=per_update,
        latency=latency,
        invalid_limit=1000,
        classes=(0, 1, 2) if ranking else (0, 1),
    )

    def annotator(seed: int) -> Any:
        if ranking:
            return ScriptedPairAnnotator(lambda text: helpful.get(text, 0))
        return ScriptedAnnotator(helpful, noise=noise, garbage=garbage, seed=1000 * root + seed)

    services = [AnnotationService(annotator(seed), settings) for seed in range(seeds)]
    random = [np.random.default_rng((root, seed, 17)) for seed in range(seeds)]
    more: dict[str, Any] = {"dies_after": dies_after}
    if issubclass(PARTS[model], LearntLabels):
        key = jax.random.fold_in(jax.random.key(root), 99)
        more |= {"config": small_text_model(1 if ranking else 2), "key": key}
    return PARTS[model](table.texts, services, random, per_update, **more)


def small_text_model(outputs: int) -> TextModelConfig:
    """A small character network, for short texts and few labels."""
    network = TextNetwork(
        length=48,
        embedding=16,
        channels=16,
        kernels=(5, 3),
        pools=(3, 3),
        hidden=32,
        outputs=outputs,
    )
    return TextModelConfig(network=network, steps=8, batch_size=32, learning_rate=3e-3)


@functools.cache
def _classifier(config: TextModelConfig) -> tuple[Callable, Callable, Callable]:
    model = make_classifier(config)
    reward = lambda state, codes: model.scores(state, codes)[0]  # noqa: E731
    return _over_seeds(model.init, model.update, reward, 2)


@functools.cache
def _ranker(config: TextModelConfig) -> tuple[Callable, Callable, Callable]:
    model = make_ranker(config)
    return _over_seeds(model.init, model.update, model.scores, 4)


def _over_seeds(init: Callable, update: Callable, scores: Callable, data: int) -> tuple:
    """Compiled over seeds, which share the texts' codes; `data` further arguments have the axis."""
    return (
        jax.jit(jax.vmap(init)),
        jax.jit(jax.vmap(update, in_axes=(0, None, *(0,) * data))),
        jax.jit(jax.vmap(scores, in_axes=(0, None))),
    )


def _pack(array: Any) -> dict[str, Any]:
    """An array as JSON values, to the bit; a typed key as its data."""
    if isinstance(array, jax.Array) and jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    data = np.ascontiguousarray(array)
    text = base64.b64encode(data.tobytes()).decode()
    return {"dtype": data.dtype.str, "shape": list(np.shape(array)), "base64": text}


def _unpack(stored: dict[str, Any], like: Any = None) -> Any:
    """What `_pack` was given; as a leaf of JAX where `like` is one."""
    flat = np.frombuffer(base64.b64decode(stored["base64"]), stored["dtype"])
    data = flat.reshape(stored["shape"]).copy()
    if like is None:
        return data
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(data), impl=jax.random.key_impl(like))
    return jnp.asarray(data, like.dtype)
