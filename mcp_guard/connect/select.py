"""What is taken from an answer: the parts a manifest names by JSON pointers (RFC 6901). Pure."""

from mcp_guard.kit import pointer
from mcp_guard.kit.pointer import MISSING

Select = str | tuple[tuple[str, str], ...]
"""One pointer, or names and pointers; an empty one takes everything."""


def selected(value: object, select: Select) -> object:
    """The named parts. A name whose part is not there is left out, so that `null` stays the upstream's own word; a lone
    pointer that finds nothing gives `None`."""
    if isinstance(select, str):
        found = pointer.get(value, select)
        return None if found is MISSING else found
    if not select:
        return value
    parts = ((name, pointer.get(value, where)) for name, where in select)
    return {name: part for name, part in parts if part is not MISSING}
