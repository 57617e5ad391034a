"""What the dungeon says: integer ids on the device, texts on the host."""

from __future__ import annotations

MONSTERS = ("newt", "jackal", "goblin")
"""Kinds of monsters, from weak to strong."""

_PLAIN = (
    "",
    "You bump into a wall.",
    "The door is locked.",
    "You unlock the door.",
    "You pick up a key.",
    "You pick up a piece of gold.",
    "You walk down the stairs.",
    "You listen and hear nothing.",
    "You die.",
)
NONE, WALL, LOCKED, UNLOCK, KEY, GOLD, STAIRS, SILENCE, DEATH = range(len(_PLAIN))
_ABOUT_MONSTERS = ("You hit the {}.", "You miss the {}.", "You kill the {}!", "The {} bites!")
HIT, MISS, KILL, BITE = (len(_PLAIN) + i * len(MONSTERS) for i in range(4))
"""Id for the first kind; the others follow."""

TEXTS = _PLAIN + tuple(text.format(kind) for text in _ABOUT_MONSTERS for kind in MONSTERS)
"""The text of every id."""
