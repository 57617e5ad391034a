"""Messages of the key-door rooms: integer ids on the device, texts on the host."""

from __future__ import annotations

import dataclasses
import functools

from jaxrl_rewards.core import InputError

NUMBERS = 100
"""How many numbers a numbered message may carry."""

_SUBJECTS = ("A rat", "A moth", "The wind", "Dust", "A distant bell")
_EVENTS = (
    "stirs in the dark.",
    "passes you by.",
    "fills the room for a moment.",
    "settles on the floor.",
    "is all you notice.",
)
FLAVOURS = tuple(f"{subject} {event}" for subject in _SUBJECTS for event in _EVENTS)
"""25 texts that mean nothing for the task."""


@dataclasses.dataclass(frozen=True)
class MessageTable:
    """Which id stands for which text in a world with `rooms` rooms.

    Id 0 is the empty message. With `numbered`, the texts about keys and doors carry one of
    `NUMBERS` numbers, so that hardly any of them is read twice.
    """

    rooms: int
    numbered: bool = False

    @property
    def per_event(self) -> int:
        """Number of texts for one key or door."""
        return NUMBERS if self.numbered else 1

    wall, locked, gold, stairs = 1, 2, 3, 4
    first_flavour = 5

    @property
    def first_key(self) -> int:
        """Id of the first text about room 0's key; those of room i start `i * per_event` later."""
        return self.first_flavour + len(FLAVOURS)

    @property
    def first_door(self) -> int:
        """Id of the first text about door 0."""
        return self.first_key + (self.rooms - 1) * self.per_event

    @property
    def size(self) -> int:
        """Number of ids V, the empty message included."""
        return self.first_door + (self.rooms - 1) * self.per_event

    @functools.cached_property
    def texts(self) -> tuple[str, ...]:
        """The text of every id; all differ."""
        texts = [
            "",
            "You bump into a wall.",
            "The door is locked.",
            "You find a piece of gold.",
            "You climb the stairs.",
            *FLAVOURS,
        ]
        for start in ("You pick up the key of room", "You open the door out of room"):
            for room in range(self.rooms - 1):
                if self.numbered:
                    texts += [f"{start} {room}, marked {n}." for n in range(NUMBERS)]
                else:
                    texts.append(f"{start} {room}.")
        return tuple(texts)

    @functools.cached_property
    def helpful(self) -> tuple[bool, ...]:
        """Per id, whether the text tells of gold, the stairs, a key or an opened door."""
        return tuple(
            index in (self.gold, self.stairs) or index >= self.first_key
            for index in range(self.size)
        )

    @functools.cached_property
    def _ids(self) -> dict[str, int]:
        return {text: index for index, text in enumerate(self.texts)}

    def id_of(self, text: str) -> int:
        """The id of a text; InputError for one that this world never says."""
        if text not in self._ids:
            raise InputError(f"message {text!r} is not one of the {self.size} texts of this world")
        return self._ids[text]
