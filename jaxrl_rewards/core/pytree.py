"""Frozen, keyword-only records that are pytrees."""

from typing import Any, TypeVar, dataclass_transform

import flax.struct

T = TypeVar("T")


def static_field(**kwargs: Any) -> Any:
    """A field that is part of the compile key (hashable), not an array leaf."""
    return flax.struct.field(pytree_node=False, **kwargs)


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(static_field, flax.struct.field)
)
def record(cls: type[T]) -> type[T]:
    """Turn a class into a frozen, keyword-only dataclass registered as a pytree.

    Fields are array leaves or nested pytrees unless declared with `static_field()`. The class
    gains `replace(**changes)`.
    """
    return flax.struct.dataclass(cls, kw_only=True)
