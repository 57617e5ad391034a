"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) as a tree of their own.

adapters = init_lora(key, params, LoraConfig(rank=8))
network = lora_actor_critic(config, params, lora)     # only the adapters are its parameters
whole = merge(params, adapters, lora)
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl_rewards.networks.actor_critic import ActorCritic
from jaxrl_rewards.networks.decoder import DecoderConfig, Params
from jaxrl_rewards.networks.language_policy import decoder_actor_critic

PLACES = ("query", "key", "value", "output", "gate", "up", "down")


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    """Which kernels have adapters, and how large they are."""

    rank: int = 8
    alpha: float = 16.0
    """An adapter adds `alpha / rank · down @ up`."""
    places: tuple[str, ...] = ("query", "value")
    """Kernels of every layer: query, key, value, output, gate, up, down."""

    def __post_init__(self):
        if self.rank < 1:
            raise ValueError(f"rank must be at least 1, got {self.rank}")
        wrong = [place for place in self.places if place not in PLACES]
        if wrong or not self.places:
            raise ValueError(f"no adapters for {wrong}; choose from {', '.join(PLACES)}")


def init_lora(key: jax.Array, params: Params, lora: LoraConfig, dtype: Any = jnp.float32) -> Params:
    """Adapters `{place: {"down" [L, in, rank], "up" [L, rank, out]}}` that change nothing yet."""
    adapters = {}
    for number, place in enumerate(lora.places):
        depth, inputs, outputs = params["layers"][place].shape
        bound = 1.0 / math.sqrt(inputs)
        down = jax.random.uniform(
            jax.random.fold_in(key, number), (depth, inputs, lora.rank), dtype, -bound, bound
        )
        adapters[place] = {"down": down, "up": jnp.zeros((depth, lora.rank, outputs), dtype)}
    return adapters


def merge(params: Params, adapters: Params, lora: LoraConfig) -> Params:
    """The parameters with the adapters added, in the parameters' dtype."""
    return _shifted(params, adapters, lora, 1.0)


def unmerge(params: Params, adapters: Params, lora: LoraConfig) -> Params:
    """The parameters before `merge`, up to rounding."""
    return _shifted(params, adapters, lora, -1.0)


def _shifted(params: Params, adapters: Params, lora: LoraConfig, sign: float) -> Params:
    scale = sign * lora.alpha / lora.rank
    layers = dict(params["layers"])
    for place, parts in adapters.items():
        if place not in layers:
            raise ValueError(f"the parameters have no {place!r}; their kernels: {sorted(layers)}")
        change = jnp.matmul(parts["down"], parts["up"], preferred_element_type=jnp.float32)
        kernel = layers[place]
        layers[place] = (kernel.astype(jnp.float32) + scale * change).astype(kernel.dtype)
    return {**params, "layers": layers}


def lora_actor_critic(
    config: DecoderConfig, base: Params, lora: LoraConfig, dtype: Any = jnp.float32
) -> ActorCritic:
    """A decoder whose parameters are the adapters (and the value head); `base` stays as it is.

    `base` may be traced: build the learner inside the update that is given it, and large weights
    are no constants of the program. The reference policy of a group learner is then the fresh
    adapters: no second copy of the weights.
    """
    return decoder_actor_critic(
        config,
        dtype=base["embedding"].dtype,
        trunk=lambda adapters: merge(jax.lax.stop_gradient(base), adapters, lora),
        init=lambda key: init_lora(key, base, lora, dtype),
    )
