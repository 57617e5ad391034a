"""Bridges to other libraries' worlds, both ways; each imports its library when called."""

from jaxrl_envs.adapters.brax import from_brax, to_brax
from jaxrl_envs.adapters.craftax import from_craftax
from jaxrl_envs.adapters.gymnasium import to_gymnasium, to_gymnasium_vector
from jaxrl_envs.adapters.gymnax import from_gymnax

__all__ = [
    "from_brax",
    "from_craftax",
    "from_gymnax",
    "to_brax",
    "to_gymnasium",
    "to_gymnasium_vector",
]
