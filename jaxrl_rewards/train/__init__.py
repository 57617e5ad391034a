"""The side effects of training: running, checkpoints, logs, evaluation, distributed start-up.

Modules load on first use, so that `train.compilation` can be called before jax is imported.
"""

import importlib
from typing import Any

_EXPORTS = {
    "Checkpoints": "checkpoint",
    "NonFiniteUpdates": "runner",
    "RunResult": "runner",
    "configure_cpu": "compilation",
    "evaluate_policy": "evaluation",
    "initialise": "distributed",
    "load_params": "checkpoint",
    "load_state": "checkpoint",
    "make_evaluator": "evaluation",
    "read_params": "checkpoint",
    "run": "runner",
    "write_params": "checkpoint",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        module = importlib.import_module(f"jaxrl_rewards.train.{_EXPORTS[name]}")
        return getattr(module, name)
    raise AttributeError(f"module 'jaxrl_rewards.train' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
