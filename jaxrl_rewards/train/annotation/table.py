"""The labels of a world's text table on the host, in step with a learner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxrl_rewards.core import InputError
from jaxrl_rewards.train.annotation.service import AnnotationService


class LabelTable:
    """`labels [V]` float32 and `known [V]` bool for `V` texts, filled by a service.

    Between two updates call `exchange(heard)` with the counts of the messages of the last rollout
    and give the returned arrays to the learner, as leaves of its reward: nothing is recompiled.
    """

    def __init__(self, texts: Sequence[str], service: AnnotationService):
        if not texts or texts[0] != "":
            raise InputError("a text table starts with the empty message, which has id 0")
        self.texts, self.service = tuple(texts), service
        self.labels = np.zeros((len(self.texts),), np.float32)
        self.known = np.zeros((len(self.texts),), bool)

    def exchange(self, heard: Any) -> tuple[np.ndarray, np.ndarray]:
        """Pick up labels, hand in what was heard and has none, return copies of the arrays."""
        heard = np.asarray(heard)
        if heard.shape != self.labels.shape:
            raise InputError(
                f"heard must hold one count per text, {self.labels.shape}, got {heard.shape}"
            )
        for index, label in self.service.poll():
            self.labels[index], self.known[index] = label, True
        new = np.flatnonzero((heard > 0) & ~self.known)
        self.service.submit(new.tolist(), [self.texts[i] for i in new])
        return self.labels.copy(), self.known.copy()

    def labelled_share(self, heard: Any) -> float:
        """Share of the messages heard that have a label; 1 where none was heard."""
        heard = np.asarray(heard)[1:]
        return float((heard * self.known[1:]).sum() / heard.sum()) if heard.sum() else 1.0
