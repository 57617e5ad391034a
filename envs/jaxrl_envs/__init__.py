"""Worlds for jaxrl-rewards, made by name and imported when made."""

from jaxrl_envs.registry import describe, make, names, register

__all__ = ["describe", "make", "names", "register"]
