"""Where a computation of many steps stands, so that it goes on from there after a kill or a signal.

For loops that `train.run` does not run. What such a loop does must follow from what is stored.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_rewards.core.errors import InputError
from jaxrl_rewards.core.files import atomic_path
from jaxrl_rewards.core.npz import read_npz
from jaxrl_rewards.train.manifest import sealed, unsealed
from jaxrl_rewards.train.signals import StopRequest

_ABOUT = "about"


class Stopped(Exception):
    """A signal asked for the end; everything is saved. `number` is the signal's."""

    def __init__(self, number: int):
        super().__init__(f"stopped by signal {number}; the state is saved")
        self.number = number


class Halfway:
    """One loop's state in one file, replaced in one step every `every` steps and on a signal.

    `path` is an `.npz`; None keeps nothing. `stop` is asked after every step.
    """

    def __init__(self, path: Path | None, *, every: int = 20, stop: StopRequest | None = None):
        self.path, self.every = path, every
        self.stop = StopRequest() if stop is None else stop

    def beside(self, name: str) -> Halfway:
        """The same for another loop, in a file of that name."""
        path = None if self.path is None else self.path.with_name(name)
        return Halfway(path, every=self.every, stop=self.stop)

    def load(self, like: Any) -> tuple[Any, dict[str, Any]] | None:
        """The stored `(state, about)`, the state in the structure of `like`; None without any.

        A file that is damaged, or of another state, is told in a warning and counts as none.
        """
        if self.path is None or not self.path.exists():
            return None
        leaves, structure = jax.tree.flatten(like)
        try:
            arrays = read_npz(self.path)
            about = unsealed(json.loads(arrays.pop(_ABOUT).tobytes()), "step")
            stored = [arrays[str(number)] for number in range(len(leaves))]
            if any(a.shape != b.shape or a.dtype != b.dtype for a, b in zip(stored, leaves)):
                raise ValueError("it holds another state")
        except (InputError, KeyError, ValueError, TypeError) as error:
            warnings.warn(
                f"{self.path} cannot be read ({error}); this part begins anew",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        return structure.unflatten(map(jnp.asarray, stored)), about

    def step(self, step: int, last: int, state: Any, about: dict[str, Any]) -> None:
        """Store the state after `step` of `last` where it is due; `Stopped` after a signal."""
        if self.path is not None and (step % self.every == 0 or step >= last or self.stop):
            leaves = {str(n): np.asarray(leaf) for n, leaf in enumerate(jax.tree.leaves(state))}
            text = json.dumps(sealed({"step": step, **about}))
            with atomic_path(self.path) as temporary:
                np.savez(temporary, **leaves, **{_ABOUT: np.frombuffer(text.encode(), np.uint8)})
        if self.stop:
            raise Stopped(self.stop.signal_number or 0)
