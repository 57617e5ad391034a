"""The side effects of training: running, checkpoints, logs, evaluation, distributed start-up.

Modules load on first use, so that `train.compilation` can be called before jax is imported.
"""

from typing import TYPE_CHECKING

from jaxrl_rewards.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxrl_rewards.train.chat import ChatClient
    from jaxrl_rewards.train.chat_settings import ChatSettings
    from jaxrl_rewards.train.checkpoint import (
        Checkpoints,
        load_params,
        load_state,
        read_params,
        write_params,
    )
    from jaxrl_rewards.train.compilation import configure_cpu
    from jaxrl_rewards.train.distributed import initialise
    from jaxrl_rewards.train.evaluation import evaluate_policy, make_evaluator
    from jaxrl_rewards.train.host_part import HostPart
    from jaxrl_rewards.train.loop import NonFiniteUpdates, RunResult
    from jaxrl_rewards.train.plots import learning_curves
    from jaxrl_rewards.train.runner import run

__all__ = [
    "ChatClient",
    "ChatSettings",
    "Checkpoints",
    "HostPart",
    "NonFiniteUpdates",
    "RunResult",
    "configure_cpu",
    "evaluate_policy",
    "initialise",
    "learning_curves",
    "load_params",
    "load_state",
    "make_evaluator",
    "read_params",
    "run",
    "write_params",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "chat": ("ChatClient",),
            "chat_settings": ("ChatSettings",),
            "checkpoint": (
                "Checkpoints",
                "load_params",
                "load_state",
                "read_params",
                "write_params",
            ),
            "compilation": ("configure_cpu",),
            "distributed": ("initialise",),
            "evaluation": ("evaluate_policy", "make_evaluator"),
            "host_part": ("HostPart",),
            "loop": ("NonFiniteUpdates", "RunResult"),
            "plots": ("learning_curves",),
            "runner": ("run",),
        },
    )
