"""How one server wants to be asked, learnt from what it refuses."""

from __future__ import annotations

import re
from typing import Any

from jaxrl_rewards.train.chat_transport import ChatError

_REFUSALS = (400, 422, 501)
"""Statuses that may mean: not with these parameters."""
_UNKNOWN = re.compile(
    r"support|unrecogni|unknown|unexpected|not permitted|not allowed|deprecated|only the default"
)
_TOO_MANY = re.compile(r"too (?:large|big|high|many)|at most|maximum|exceed|(?:less|greater) than")
_CHOICES = re.compile(r"\bn\b|\b(?:choices?|completions|candidates?)\b")


class Dialect:
    """The form of requests to one server; what was learnt holds for all later questions.

    Starts with `max_tokens`, `temperature` and `n` as asked. A server that wants
    `max_completion_tokens` gets it; one that takes no temperature decides itself; one that gives
    fewer choices than asked, or refuses `n`, is asked for as many as it gives.
    """

    def __init__(self):
        self.length_name = "max_tokens"
        self.takes_temperature = True
        self.most: int | None = None
        """Choices that one request may ask for; None as long as no limit is known."""

    def body(self, request: dict[str, Any], choices: int) -> dict[str, Any]:
        """The request for `choices` answers, or fewer, in this server's form."""
        body: dict[str, Any] = {"messages": request["messages"]}
        if self.takes_temperature:
            body["temperature"] = request["temperature"]
        body[self.length_name] = request["max_tokens"]
        if self.most != 1:
            body["n"] = min(choices, self.most or choices)
        return body

    def refuses(self, error: ChatError) -> bool:
        """Whether an error may mean that the request should look otherwise, not that it is bad:
        by its status, or, of a server that breaks over it, by the choices that it speaks of."""
        return error.code in _REFUSALS or (
            error.code == 500 and _CHOICES.search(str(error).lower()) is not None
        )

    def learn(self, body: dict[str, Any], error: ChatError) -> bool:
        """Whether the refusal of `body` names a parameter that can be given otherwise, or left out:
        then the next `body` differs, and asking again at once makes sense."""
        if not self.refuses(error):
            return False
        text = str(error).lower()
        unknown = _UNKNOWN.search(text)
        other_name = "max_completion_tokens" in text or (unknown and "max_tokens" in text)
        if "max_tokens" in body and other_name and not _TOO_MANY.search(text):
            self.length_name = "max_completion_tokens"
        elif "temperature" in body and unknown and "temperature" in text:
            self.takes_temperature = False
        else:
            return False
        return True

    def gave(self, body: dict[str, Any], given: int) -> None:
        """Remember how many choices came for a `body`."""
        if 0 < given < body.get("n", 1):
            self.most = given if self.most is None else min(self.most, given)


__all__ = ["Dialect"]
