"""Frozen, keyword-only records that are pytrees."""

from typing import TYPE_CHECKING, Any, Self, TypeVar, dataclass_transform

import flax.struct

T = TypeVar("T")


def static_field(**kwargs: Any) -> Any:
    """A field that is part of the compile key (hashable), not an array leaf."""
    return flax.struct.field(pytree_node=False, **kwargs)


class Record:
    """Optional base of a `@record`, by which type checkers see its `replace`."""

    if TYPE_CHECKING:

        def replace(self, **changes: Any) -> Self:
            """A copy with these fields changed; TypeError for a field that there is not."""
            ...


@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(static_field, flax.struct.field)
)
def record(cls: type[T]) -> type[T]:
    """Turn a class into a frozen, keyword-only dataclass registered as a pytree.

    Fields are array leaves or nested pytrees unless declared with `static_field()`. The class
    gains `replace(**changes)`; derive it from `Record` for type checkers to know.
    """
    return flax.struct.dataclass(cls, kw_only=True)


def replace(node: T, **changes: Any) -> T:
    """`node.replace(**changes)`, which type checkers understand for every record.

    TypeError for something that is no record, or a field that it does not have.
    """
    if not hasattr(node, "replace"):
        raise TypeError(f"only records have fields to replace, got {type(node).__name__}")
    return node.replace(**changes)  # type: ignore[attr-defined]
