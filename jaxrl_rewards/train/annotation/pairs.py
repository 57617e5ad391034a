"""Which of two messages is better: pairs travel through the service as one text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from jaxrl_rewards.core import InputError
from jaxrl_rewards.reward_models.messages.text import FIRST, SECOND, TIE, find_ranking_label
from jaxrl_rewards.train.annotation.annotators import Annotation, ask_once
from jaxrl_rewards.train.annotation.prompts import Judge, ranking_prompt
from jaxrl_rewards.train.chat import Chat

_SEPARATOR = "\x1f"


def join_pair(first: str, second: str) -> str:
    """Two messages as one text; a separator within them becomes a blank."""
    return _SEPARATOR.join(text.replace(_SEPARATOR, " ") for text in (first, second))


def split_pair(text: str) -> tuple[str, str]:
    """The two messages of `join_pair`; InputError where there are not two."""
    parts = text.split(_SEPARATOR)
    if len(parts) != 2:
        raise InputError(f"{text[:80]!r} is not a pair of messages")
    return parts[0], parts[1]


class ScriptedPairAnnotator:
    """Prefers the message with the higher score; equal scores are a tie."""

    model, prompt_version = "rules", "pair-rules-1"

    def __init__(self, score: Callable[[str], float]):
        self.score = score

    def annotate(self, texts: Sequence[str]) -> list[Annotation]:
        """Compare the scores of each pair."""
        labels = []
        for text in texts:
            first, second = map(self.score, split_pair(text))
            labels.append(TIE if first == second else FIRST if first > second else SECOND)
        return [Annotation(label, str(label)) for label in labels]


class ChatPairAnnotator:
    """Asks a chat model about each pair."""

    prompt_version = "pair-1"

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

    def annotate(self, texts: Sequence[str]) -> Iterator[Annotation]:
        """One question per pair."""
        for text in texts:
            question = ranking_prompt(*split_pair(text), self.judge)
            raw = ask_once(self.chat, question, self.temperature, self.max_tokens)
            yield Annotation(find_ranking_label(raw), raw)
