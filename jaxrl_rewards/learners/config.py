"""Static sizes and switches that learners share, by what needs them; part of the compile key."""

from __future__ import annotations

import dataclasses
from typing import Any

from jaxrl_rewards.core import check_env
from jaxrl_rewards.rollout.autoreset import MODES as AUTO_RESETS
from jaxrl_rewards.rollout.collect import TIME_LIMITS


def at_least_one(config: Any, *names: str) -> None:
    """ValueError where one of the named sizes is below 1."""
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")


def one_of(config: Any, name: str, allowed: tuple[Any, ...]) -> None:
    """ValueError where the named choice is not among `allowed`."""
    value = getattr(config, name)
    if value not in allowed:
        choices = ", ".join(map(str, allowed))
        raise ValueError(f"{name}={value!r} is unknown; choose one of {choices}")


def check_world(env: Any, hparams: Any) -> None:
    """`check_env` of a learner's world; of given params only the reward, as they may be swept."""
    check_env(env)
    reward = getattr(getattr(hparams, "env_params", None), "reward", None)
    if callable(reward) and not hasattr(reward, "evaluate"):
        name = getattr(reward, "__name__", reward)
        raise TypeError(
            f"{env.spec.name}: params.reward is the plain function {name!r}; wrap it: "
            "rewards.reward_term(function)"
        )


@dataclasses.dataclass(frozen=True)
class CollectConfig:
    """What collecting steps needs."""

    num_envs: int = 64
    """Environments stepped in parallel."""
    unroll_length: int = 128
    """Steps per environment between updates."""
    time_limits: str = "bootstrap"
    """bootstrap from the final observation at a time limit, or treat it as a termination."""
    auto_reset: str = "fresh"
    """How episodes restart: fresh, pool or cached."""
    normalise_observations: bool = False
    """Running standardisation of observations."""
    normalise_rewards: bool = False
    """Divide rewards by the running standard deviation of the discounted return."""
    normalise_terms: bool = False
    """Standardise each reward term before weighting."""

    def __post_init__(self):
        at_least_one(self, "num_envs", "unroll_length")
        one_of(self, "time_limits", TIME_LIMITS)
        one_of(self, "auto_reset", AUTO_RESETS)


@dataclasses.dataclass(frozen=True)
class OptimiseConfig:
    """What learning from collected steps needs."""

    num_epochs: int = 4
    """Passes over the collected steps."""
    num_minibatches: int = 4
    """Minibatches per pass; must divide num_envs * unroll_length."""
    normalise_advantages: bool = True
    """Standardise advantages within each minibatch (of more than one step)."""
    clip_per_network: bool = True
    """Clip the gradient of each of the network's groups (actor, critic) by its own norm."""
    clip_values: bool = True
    """Clip the value loss around the old value with the policy's clip range."""
    adapt_to_kl: bool = False
    """Steer the actor's learning rate so that an update moves the policy by `target_kl`."""
    shuffle_shards: int = 1
    """Shuffle within this many groups of environments (devices of the data axis), not across."""

    def __post_init__(self):
        at_least_one(self, "num_epochs", "num_minibatches", "shuffle_shards")


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """What the default network needs."""

    hidden: tuple[int, ...] = (64, 64)
    """Hidden widths of the default actor and critic."""
    activation: str = "tanh"
    """Activation of the default networks: tanh, relu, silu, gelu or elu."""
    share_trunk: bool = False
    """One trunk for actor and critic instead of two."""
    squash: bool = False
    """Tanh-normal actions for bounded Box spaces instead of clipped Gaussian ones."""
