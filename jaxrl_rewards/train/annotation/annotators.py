"""Who labels messages: rules with faults on demand, a chat server, or an old label file."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_models.messages.text import find_classification_label, labels_disagree
from jaxrl_rewards.train.annotation.labels import read_labels
from jaxrl_rewards.train.annotation.prompts import PROMPT_VERSION, Judge, classification_prompt
from jaxrl_rewards.train.chat import Chat, ChatClient, ChatError, ChatSettings


@dataclasses.dataclass(frozen=True)
class Annotation:
    """An answer about one message; `label` is None where the answer could not be read."""

    label: int | None
    raw: str = ""
    disagreement: bool = False
    """Both labels stood in the answer."""


class Annotator(Protocol):
    """Labels texts. An exception means that the batch was not answered.

    An exception may carry `temporary` (False: asking again is no use) and `retry_after`
    (seconds). `annotate` may be called from several threads.
    """

    model: str
    prompt_version: str

    def annotate(self, texts: Sequence[str]) -> Iterable[Annotation]:
        """One annotation per text, in order; what comes before an exception counts."""
        ...


class ScriptedAnnotator:
    """Labels by a rule, with noise, unreadable answers and latency on demand; works offline.

    `helpful` is a function of the text, a regular expression to search for, or a mapping from
    text to label (texts outside it are unhelpful). A share `noise` of the *texts* gets the wrong
    label, always; a share `garbage` of the *answers* cannot be read. Both are functions of the
    seed, the text and how often it was asked, so that order and threads change nothing.
    `latency` is in seconds per call.
    """

    model, prompt_version = "rules", "rules-1"

    def __init__(
        self,
        helpful: Callable[[str], Any] | str | Mapping[str, Any],
        *,
        noise: float = 0.0,
        garbage: float = 0.0,
        latency: float = 0.0,
        seed: int = 0,
    ):
        for name, value in (("noise", noise), ("garbage", garbage)):
            if not 0.0 <= value <= 1.0:
                raise InputError(f"{name} must lie in [0, 1], got {value}")
        if not 0.0 <= latency < float("inf"):
            raise InputError(f"latency must be finite and not negative, got {latency}")
        if isinstance(helpful, str):
            pattern = re.compile(helpful)
            self._rule = lambda text: pattern.search(text) is not None
        elif isinstance(helpful, Mapping):
            table = dict(helpful)
            self._rule = lambda text: table.get(text, False)
        else:
            self._rule = helpful
        self.noise, self.garbage, self.latency, self.seed = noise, garbage, latency, seed
        self.alive = True
        """Set to False to have every call fail from then on, like a server that was killed."""
        self.asked: Counter[str] = Counter()
        """How often each text was asked."""
        self._lock, self._sleep = threading.Lock(), threading.Event()

    def annotate(self, texts: Sequence[str]) -> list[Annotation]:
        """Apply the rule and the faults."""
        if not self.alive:
            raise ConnectionError("the scripted annotator is not alive")
        if self.latency:
            self._sleep.wait(self.latency)
        return [self._one(text) for text in texts]

    def state_dict(self) -> dict[str, Any]:
        """How often each text was asked, as JSON values."""
        with self._lock:
            return {"asked": dict(self.asked)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict()`."""
        with self._lock:
            self.asked = Counter({str(k): int(v) for k, v in state["asked"].items()})

    def _one(self, text: str) -> Annotation:
        with self._lock:
            attempt = self.asked[text]
            self.asked[text] += 1
        if self._unit("garbage", text, attempt) < self.garbage:
            return Annotation(None, "%$#!")
        wrong = self._unit("noise", text, 0) < self.noise
        label = int(bool(self._rule(text)) != wrong)
        return Annotation(label, "FOO" if label else "BAR")

    def _unit(self, *parts: Any) -> float:
        """A number in [0, 1) that the seed and `parts` decide."""
        data = repr((self.seed, *parts)).encode()
        return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") / 2.0**64


class ChatAnnotator:
    """Asks a chat model about each text; the answer's label decides."""

    prompt_version = PROMPT_VERSION

    def __init__(
        self,
        chat: Chat,
        judge: Judge | None = None,
        *,
        model: str = "",
        temperature: float = 0.1,
        max_tokens: int = 4096,
    ):
        self.chat, self.judge, self.model = chat, judge or Judge(), model
        self.temperature, self.max_tokens = temperature, max_tokens

    @classmethod
    def from_environment(cls, judge: Judge | None = None, **changes: Any) -> ChatAnnotator:
        """Ask the server that the environment names (see `ChatSettings.from_environment`).

        The client itself does not retry: the annotation service does.
        """
        settings = ChatSettings.from_environment(**{"retries": 0} | changes)
        return cls(ChatClient(settings), judge, model=settings.model)

    def annotate(self, texts: Sequence[str]) -> Iterator[Annotation]:
        """One question per text."""
        return map(self._one, texts)

    def _one(self, text: str) -> Annotation:
        question = classification_prompt(text, self.judge)
        raw = ask_once(self.chat, question, self.temperature, self.max_tokens)
        return Annotation(find_classification_label(raw), raw, labels_disagree(raw))


def ask_once(
    chat: Chat, question: list[dict[str, str]], temperature: float, max_tokens: int
) -> str:
    """A judge's answer, its thoughts included; empty where it holds no text.

    Such an answer cannot be read, but the server is well: the next text may be asked.
    """
    try:
        answer = chat.complete(question, temperature=temperature, max_tokens=max_tokens)
    except ChatError as error:
        if error.kind in ("empty", "length"):
            return ""
        raise
    return answer.texts[0]


class ReplayAnnotator:
    """Labels from files, without asking anybody; a text without a label gets none."""

    model, prompt_version = "replay", "replay-1"

    def __init__(self, *paths: str | Path):
        self.labels = read_labels(*paths)

    def annotate(self, texts: Sequence[str]) -> list[Annotation]:
        """Look the texts up."""
        found = [self.labels.get(text) for text in texts]
        return [
            Annotation(None, "") if label is None else Annotation(label.label, label.raw)
            for label in found
        ]
