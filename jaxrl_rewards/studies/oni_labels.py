"""The host's side of an arm: what is asked of the annotator, and what the labels turn into."""

from __future__ import annotations

import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.reward_models.messages.characters import TextNetwork, encode_texts
from jaxrl_rewards.reward_models.messages.models import (
    TextModelConfig,
    make_classifier,
    make_ranker,
)
from jaxrl_rewards.studies.oni_arms import Arm
from jaxrl_rewards.train.annotation import AnnotationService, AnnotationSettings, ScriptedAnnotator
from jaxrl_rewards.train.annotation.pairs import ScriptedPairAnnotator, join_pair

LENGTH = 48
MOST_PAIRS = 512


def text_model_config(outputs: int) -> TextModelConfig:
    """A small character network: the texts are short and the labels few."""
    network = TextNetwork(
        length=LENGTH,
        embedding=16,
        channels=16,
        kernels=(5, 3),
        pools=(3, 3),
        hidden=32,
        outputs=outputs,
    )
    return TextModelConfig(network=network, steps=8, batch_size=32, learning_rate=3e-3)


@functools.cache
def _programs(ranking: bool) -> tuple[Any, Any, Any]:
    """`(init, update, scores)` of a text model, vmapped over seeds; compiled once per table."""
    config = text_model_config(1 if ranking else 2)
    if ranking:
        model = make_ranker(config)
        axes, scores = (0, None, 0, 0, 0, 0), model.scores
    else:
        model = make_classifier(config)
        axes, scores = (0, None, 0, 0), lambda state, codes: model.scores(state, codes)[0]
    return (
        jax.jit(jax.vmap(model.init)),
        jax.jit(jax.vmap(model.update, in_axes=axes)),
        jax.jit(jax.vmap(scores, in_axes=(0, None))),
    )


class LabelSource:
    """Labels for all seeds of an arm, in step with the learner's updates.

    `after_update(update, heard)` takes the counts `[S, V]` of the messages of an update, picks up
    labels, asks about new texts, and returns `(labels [S, V], known [S, V])` for the next one.
    """

    def __init__(self, arm: Arm, table: Any, seeds: int, texts_per_update: int, root: int):
        self.arm, self.table, self.per_update = arm, table, texts_per_update
        size = table.size
        self.labels = np.zeros((seeds, size), np.float32)
        self.known = np.zeros((seeds, size), bool)
        self.random = [np.random.default_rng((root, seed, 17)) for seed in range(seeds)]
        helpful = {text: int(good) for text, good in zip(table.texts, table.helpful, strict=True)}
        self.services: list[AnnotationService] = []
        for seed in range(seeds):
            if arm.model == "ranking":
                annotator: Any = ScriptedPairAnnotator(lambda text: helpful.get(text, 0))
            else:
                annotator = ScriptedAnnotator(
                    helpful, noise=arm.noise, garbage=arm.garbage, seed=1000 * root + seed
                )
            settings = AnnotationSettings(
                mode="sync",
                batch_size=texts_per_update,
                latency=arm.latency,
                invalid_limit=1000,
                classes=(0, 1, 2) if arm.model == "ranking" else (0, 1),
            )
            self.services.append(AnnotationService(annotator, settings))
        if arm.model == "count bonus":
            self.labels[:], self.known[:] = 1.0, True
        self.codes = jnp.asarray(encode_texts(table.texts, LENGTH))
        self.templates = np.unique(
            [re.sub(r"\d+", "#", text) for text in table.texts], return_inverse=True
        )[1]
        if arm.model in ("classification", "ranking"):
            keys = jax.random.split(jax.random.fold_in(jax.random.key(root), 99), seeds)
            self.model = _programs(arm.model == "ranking")[0](keys)
        if arm.model == "ranking":
            self.pairs = np.zeros((seeds, MOST_PAIRS, 2), np.int32)
            self.pair_labels = np.zeros((seeds, MOST_PAIRS), np.int32)
            self.pair_valid = np.zeros((seeds, MOST_PAIRS), bool)

    def after_update(self, update: int, heard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See the class."""
        if self.arm.model in ("none", "count bonus"):
            return self.labels, self.known
        for seed, service in enumerate(self.services):
            if self.arm.dies_after is not None and update >= self.arm.dies_after:
                service.annotator.alive = False
            if self.arm.model == "ranking":
                self._pairs(seed, service, heard[seed])
            else:
                self._texts(seed, service, heard[seed])
        return self._scores(heard)

    def _texts(self, seed: int, service: AnnotationService, heard: np.ndarray) -> None:
        for index, label in service.poll():
            self.labels[seed, index], self.known[seed, index] = label, True
        candidates = np.flatnonzero((heard > 0) & ~self.known[seed])
        waiting = {index for index, _ in service.state_dict()["pending"]}
        candidates = [int(i) for i in candidates if i > 0 and int(i) not in waiting]
        chosen = self.random[seed].permutation(candidates)[: self.per_update].astype(int)
        service.submit(chosen.tolist(), [self.table.texts[i] for i in chosen])

    def _pairs(self, seed: int, service: AnnotationService, heard: np.ndarray) -> None:
        """Fresh pairs of messages just heard; a pair's id is its place in the buffer."""
        for index, label in service.poll():
            self.pair_labels[seed, index], self.pair_valid[seed, index] = label, True
        heard_ids = np.flatnonzero(heard)
        heard_ids = heard_ids[heard_ids > 0]
        for _ in range(self.per_update):
            if len(heard_ids) < 2 or (index := self._free_place(seed)) is None:
                return
            pair = self.random[seed].choice(heard_ids, 2, replace=False)
            self.pairs[seed, index] = pair
            service.submit([index], [join_pair(*(self.table.texts[i] for i in pair))])

    def _free_place(self, seed: int) -> int | None:
        used = np.any(self.pairs[seed] > 0, axis=-1)
        return None if used.all() else int(np.argmin(used))

    def _scores(self, heard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        model = self.arm.model
        if model == "retrieval":
            return self.labels, self.known
        if model == "template":
            return self._pooled()
        _, update, scores = _programs(model == "ranking")
        if model == "classification":
            data, any_label = (self.labels, self.known), self.known.any(axis=1)
        else:
            data = (self.pairs, self.pair_labels, self.pair_valid, heard.astype(np.float32))
            any_label = self.pair_valid.any(axis=1)
        self.model, _ = update(self.model, self.codes, *data)
        values = np.asarray(scores(self.model, self.codes))
        return values, np.broadcast_to(any_label[:, None], values.shape)

    def _pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """Each text gets the majority label of its template, as soon as one member has one."""
        groups = int(self.templates.max()) + 1
        pick = np.eye(groups, dtype=np.float32)[self.templates]
        votes = (self.labels * self.known) @ pick
        count = self.known.astype(np.float32) @ pick
        share = votes / np.maximum(count, 1.0)
        return (share > 0.5).astype(np.float32)[:, self.templates], (count > 0)[:, self.templates]
