"""Named quantities of a world: what reward programs may read of a step."""

from __future__ import annotations

from typing import NamedTuple


class Quantity(NamedTuple):
    """Static facts about one named quantity of a world.

    A world with quantities has a table `quantities: dict[str, Quantity]`; after every step its
    state holds `state.quantities: dict[str, Array]` with the same names, float32, and the
    `TimeStep` repeats them under `info["quantities"]`.
    """

    shape: tuple[int, ...]
    unit: str
    scale: float
    """Typical magnitude, positive, in `unit`."""
    direction: int | None
    """Which way is better: -1 smaller, +1 larger, 0 it does not matter, None not known."""
    text: str
    """One sentence for a person or a language model."""
