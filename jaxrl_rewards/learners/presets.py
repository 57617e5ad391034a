"""Settings of PPO that are known to solve the registered worlds, as plain data.

    from jaxrl_rewards.learners.presets import preset

    recipe = preset("Pendulum-v1")
    ppo = make_ppo(env, recipe.config, hparams=recipe.hparams(env.default_params()))

The measured returns are in `benchmarks/results/*/bench-reference-returns.json`; that benchmark
trains every entry from the seeds 0, 1, ... and shows all of them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxrl_rewards.core.errors import InputError


@dataclasses.dataclass(frozen=True)
class Preset:
    """A recipe for one registered world under its own reward."""

    env: str
    """The world's registered name."""
    sizes: dict[str, Any]
    """Keyword arguments of `PPOConfig`."""
    numbers: dict[str, float]
    """Fields of `PPOHParams` that differ from its defaults; all are constants."""
    steps: int
    """Environment steps of the training, over which the learning rate falls linearly to 0."""
    reference_return: float
    """Mean return per episode, most likely actions, that the trained policy should reach."""
    source: str
    """Where the reference return comes from."""

    @property
    def config(self) -> Any:
        """The `PPOConfig` of `sizes`."""
        from jaxrl_rewards.learners.ppo import PPOConfig

        return PPOConfig(**self.sizes)

    @property
    def updates(self) -> int:
        """Updates that make up `steps`, at least 1."""
        config = self.config
        return max(1, round(self.steps / (config.num_envs * config.unroll_length)))

    def hparams(self, env_params: Any, updates: int | None = None) -> Any:
        """`PPOHParams` on `env_params`; the learning rate falls to 0 over `updates`.

        `updates` is that of the recipe when None; pass another for a shorter or longer run.
        """
        from jaxrl_rewards.learners.ppo import PPOHParams
        from jaxrl_rewards.rewards.schedule import Linear

        hparams = PPOHParams(env_params=env_params, **self.numbers)
        end = float(self.updates if updates is None else updates)
        rate = Linear(start=hparams.learning_rate, stop=0.0, begin=0.0, end=end)
        return hparams.replace(learning_rate=rate)


def preset(name: str) -> Preset:
    """The recipe for the world `name`; InputError names the worlds that have one."""
    if name not in PRESETS:
        raise InputError(f"there is no preset for {name!r}; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def _table(*presets: Preset) -> dict[str, Preset]:
    return {entry.env: entry for entry in presets}


_GYMNASIUM = "gymnasium's reward threshold"
_OPTIMUM = "close to the optimum"

PRESETS: dict[str, Preset] = _table(
    Preset(
        "CartPole-v1",
        {"num_envs": 4, "unroll_length": 128},
        {"learning_rate": 2.5e-4},
        500_000,
        475.0,
        _GYMNASIUM,
    ),
    Preset(
        "Acrobot-v1",
        {"num_envs": 16, "unroll_length": 128},
        {"learning_rate": 1e-3},
        300_000,
        -100.0,
        _GYMNASIUM,
    ),
    Preset(
        "Pendulum-v1",
        {"num_envs": 16, "unroll_length": 128, "num_epochs": 8, "normalise_rewards": True},
        {"learning_rate": 1e-3, "discount": 0.95, "entropy_coefficient": 0.0},
        400_000,
        -200.0,
        "common convention",
    ),
    Preset(
        "MountainCar-v0",
        {
            "num_envs": 16,
            "unroll_length": 128,
            "normalise_observations": True,
            "normalise_rewards": True,
        },
        {"learning_rate": 1e-3, "trace_decay": 0.98, "entropy_coefficient": 0.0},
        1_000_000,
        -110.0,
        _GYMNASIUM,
    ),
    Preset(
        "MountainCarContinuous-v0",
        {
            "num_envs": 16,
            "unroll_length": 256,
            "normalise_observations": True,
            "normalise_rewards": True,
        },
        {"learning_rate": 1e-3, "discount": 0.999, "entropy_coefficient": 0.005},
        500_000,
        90.0,
        _GYMNASIUM,
    ),
    Preset(
        "gridworld",
        {"num_envs": 32, "unroll_length": 64},
        {"learning_rate": 1e-3},
        200_000,
        0.95,
        "fraction of episodes that reach the goal",
    ),
    Preset(
        "gridworld-cliff",
        {"num_envs": 32, "unroll_length": 64, "normalise_rewards": True},
        # of 24 seeds 3 learn to stand still with 0.05, which costs 200, and none with 0.2
        {"learning_rate": 1e-3, "entropy_coefficient": 0.2},
        300_000,
        -13.0,
        "the optimum (Sutton and Barto, example 6.6)",
    ),
    Preset(
        "gridworld-line-key",
        {"num_envs": 32, "unroll_length": 64},
        {"learning_rate": 1e-3},
        200_000,
        0.95,
        "fraction of episodes that reach the goal",
    ),
    Preset(
        "gridworld-door-key",
        {"num_envs": 32, "unroll_length": 64},
        {"learning_rate": 1e-3},
        300_000,
        0.95,
        "fraction of episodes that reach the goal",
    ),
    Preset(
        "tabular-rooms",
        {"num_envs": 16, "unroll_length": 64},
        {"learning_rate": 1e-3, "entropy_coefficient": 0.02},
        300_000,
        10.0,
        "nine tenths of the optimum, 11.1",
    ),
    Preset(
        "gridworld-continuous",
        {"num_envs": 32, "unroll_length": 64, "normalise_rewards": True},
        {"learning_rate": 1e-3},
        300_000,
        95.0,
        "fraction of episodes that reach the goal, times 100",
    ),
    Preset(
        "keydoor",
        {
            "num_envs": 64,
            "unroll_length": 128,
            "time_limits": "termination",
            "normalise_rewards": True,
        },
        {"learning_rate": 1e-3, "entropy_coefficient": 0.03},
        1_500_000,
        0.95,
        "fraction of episodes that reach the stairs",
    ),
    Preset(
        "roguelike",
        {"num_envs": 64, "unroll_length": 128, "hidden": (128,), "normalise_rewards": True},
        {"learning_rate": 1e-3, "entropy_coefficient": 0.01},
        1_000_000,
        0.5,
        "fraction of episodes that reach the stairs",
    ),
)
"""Recipes by the world's name."""
