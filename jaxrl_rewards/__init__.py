"""Reward design in JAX: rewards, worlds, credit and learners as pure functions.

Sub-packages load on first use, so `import jaxrl_rewards` is cheap and starts no backend.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_SUBPACKAGES = (
    "core",
    "credit",
    "envs",
    "learners",
    "losses",
    "networks",
    "rewards",
    "rollout",
    "studies",
    "train",
)

__all__ = [*_SUBPACKAGES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"jaxrl_rewards.{name}")
    raise AttributeError(f"module 'jaxrl_rewards' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
