"""The contract of a world."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, runtime_checkable

import jax

from jaxrl_rewards.core.records import TimeStep
from jaxrl_rewards.core.spaces import Space

if TYPE_CHECKING:  # `Env` alone means a world of any state and params
    from typing_extensions import TypeVar

    StateT = TypeVar("StateT", default=Any)
    ParamsT = TypeVar("ParamsT", default=Any)
else:
    from typing import TypeVar

    StateT = TypeVar("StateT")
    ParamsT = TypeVar("ParamsT")


@dataclasses.dataclass(frozen=True)
class EnvSpec:
    """Static facts of a world; hashable, part of the compile key."""

    name: str
    observation_space: Space
    action_space: Space
    max_steps: int
    """Default time limit; the episode is truncated when it has taken this many steps."""
    term_names: tuple[str, ...]
    """Names of the default reward's terms, in the order of `TimeStep.terms`."""
    valid_actions: Callable[[Any], jax.Array] | None = None
    """`valid_actions(obs) -> bool [n]` of a Discrete world: the actions that are allowed at the
    observation it showed. Policies never choose others. None where all are."""


@runtime_checkable
class Env(Protocol, Generic[StateT, ParamsT]):
    """A world as pure functions: single, unbatched, no auto-reset inside.

    `params` is a pytree of tunable numbers and holds the reward under the field `reward`, so
    rewards are swept, differentiated and vmapped like any other number. Acting in an episode that
    has ended is defined but meaningless; wrap with `jaxrl_rewards.rollout` for auto-reset.
    """

    spec: EnvSpec

    def default_params(self) -> ParamsT:
        """The published numbers of the task, with its default reward."""
        ...

    def reset(self, key: jax.Array, params: ParamsT) -> tuple[StateT, TimeStep]:
        """Start an episode."""
        ...

    def step(
        self, key: jax.Array, state: StateT, action: Any, params: ParamsT
    ) -> tuple[StateT, TimeStep]:
        """Take one step."""
        ...
