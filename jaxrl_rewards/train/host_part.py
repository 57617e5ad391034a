"""Work of the host between the chunks of a run: an annotator, a judge, a solver."""

from __future__ import annotations

from typing import Any, Protocol


class HostPart(Protocol):
    """What takes part in a run from outside the compiled program.

    After every chunk `exchange(update, told)` is called once: `told` is the state's `summary` as
    NumPy arrays (leading seed axis where the run has seeds), `update` the updates done so far. What
    it returns goes to the learner's `receive(state, given)`, whose result the next chunk starts
    from; None gives nothing. Its structure, shapes and dtypes must never change, and lead with the
    seed axis where the run has seeds. The call holds up
    training: slow work is begun here and handed over at a later exchange.

    `state_dict` is stored in every checkpoint, after the exchange of that chunk, and handed to
    `load_state_dict` when the run is resumed; plain JSON values. With it a resumed run goes on as
    if it had not been interrupted, where the part itself is deterministic.
    """

    def exchange(self, update: int, told: Any) -> Any:
        """Hear what the last update told, and give what the next chunk needs; None for nothing."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that changes in this part, as JSON values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        ...
