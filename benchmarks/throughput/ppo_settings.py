"""One set of hyper-parameters for every PPO in the comparison."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class PPOSettings:
    """Two tanh networks, Adam, no normalisation of observations or rewards."""

    num_envs: int = 64
    unroll_length: int = 128
    num_epochs: int = 4
    num_minibatches: int = 4
    hidden: tuple[int, ...] = (64, 64)
    learning_rate: float = 2.5e-4
    discount: float = 0.99
    trace_decay: float = 0.95
    clip: float = 0.2
    entropy_coefficient: float = 0.01
    value_coefficient: float = 0.5
    max_grad_norm: float = 0.5

    @property
    def steps_per_update(self) -> int:
        """Environment steps that one update collects."""
        return self.num_envs * self.unroll_length


WORLDS = {"CartPole-v1": (4, 2), "Pendulum-v1": (3, 1)}
"""Lengths of the observation and of the policy's output (the mean, for Pendulum)."""


def flops_per_step(settings: PPOSettings, world: str) -> int:
    """Floating-point operations of the matrix products behind one trained environment step.

    A forward pass of actor and critic when acting, and per epoch a forward and a backward pass,
    which costs two more. Element-wise work, the world and the optimiser are left out.
    """
    observation, output = WORLDS[world]
    forward = 0
    for last in (output, 1):
        sizes = (observation, *settings.hidden, last)
        forward += sum(2 * inner * outer for inner, outer in zip(sizes, sizes[1:], strict=False))
    return forward * (1 + 3 * settings.num_epochs)
