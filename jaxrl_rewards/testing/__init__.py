"""Checks for users' own tests: what every world must do."""

from typing import TYPE_CHECKING

from jaxrl_rewards.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxrl_rewards.testing import conformance, identities
    from jaxrl_rewards.testing.conformance import Subject, conform

__all__ = [
    "Subject",
    "conform",
    "conformance",
    "identities",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "conformance": ("Subject", "conform"),
        },
        submodules=("conformance", "identities"),
    )
