"""What stands between worlds and networks: running statistics of observations and rewards."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxrl_rewards.core import TimeStep, Trajectories, record
from jaxrl_rewards.rewards.normalise import (
    init_term_statistics,
    normalised_total,
    update_term_statistics,
)
from jaxrl_rewards.rollout.normalise import (
    RunningMoments,
    discounted_returns,
    init_moments,
    normalise_observation,
    standard_deviation,
    update_moments,
)


@record
class Normaliser:
    """Running statistics of observations, returns and reward terms; () where switched off."""

    obs: Any
    returns: Any
    terms: Any
    discounted: Float[Array, "B"]
    """Running discounted return of every world, for the statistics of returns."""


def init_normaliser(config: Any, timestep: TimeStep) -> Normaliser:
    """Empty statistics of what `config` (a `CollectConfig`) normalises; `timestep` `[B, ...]`."""
    count = timestep.reward.shape[0]
    return Normaliser(
        obs=init_moments_like(timestep.obs) if config.normalise_observations else (),
        returns=init_moments(jnp.zeros((), jnp.float32)) if config.normalise_rewards else (),
        terms=init_term_statistics(tuple(timestep.terms)) if config.normalise_terms else (),
        discounted=jnp.zeros((count,), jnp.float32),
    )


def init_moments_like(obs: Any) -> RunningMoments:
    """Empty moments of one element of a batch `[B, ...]`."""
    return init_moments(jax.tree.map(lambda leaf: leaf[0], obs))


def seen(normaliser: Normaliser, obs: Any) -> Any:
    """The observation as the network sees it; any leading axes."""
    if isinstance(normaliser.obs, RunningMoments):
        return normalise_observation(normaliser.obs, obs)
    return obs


def normalise_rewards(
    normaliser: Normaliser, played: Trajectories, env_params: Any, discount: Float[Array, ""]
) -> tuple[Normaliser, Float[Array, "B T"]]:
    """The rewards of `[B, T]` as the learner uses them, and the statistics after them."""
    values = played.reward
    if normaliser.terms != ():
        terms = update_term_statistics(normaliser.terms, played.terms, played.applicable)
        normaliser = normaliser.replace(terms=terms)
        values = normalised_total(env_params.reward, terms, played.terms, played.applicable)
        values = jnp.where(played.broken, 0.0, values)
    if normaliser.returns != ():
        last, sums = discounted_returns(normaliser.discounted, values.T, played.done.T, discount)
        returns = update_moments(normaliser.returns, sums)
        normaliser = normaliser.replace(returns=returns, discounted=last)
        values = values / standard_deviation(returns)
    return normaliser, values


def update_observations(normaliser: Normaliser, obs: Any) -> Normaliser:
    """The statistics after observations `[B, T, ...]` as worlds showed them."""
    if not isinstance(normaliser.obs, RunningMoments):
        return normaliser
    return normaliser.replace(obs=update_moments(normaliser.obs, obs))
