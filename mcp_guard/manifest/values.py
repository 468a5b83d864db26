"""The strings inside a JSON value, and where they are."""

from collections.abc import Iterator

Tokens = tuple[object, ...]


def strings(value: object, path: Tokens = ()) -> Iterator[tuple[Tokens, str]]:
    """Every string value."""
    if isinstance(value, str):
        yield path, value
    for token, child in _members(value):
        yield from strings(child, (*path, token))


def keys(value: object, path: Tokens = ()) -> Iterator[tuple[Tokens, str]]:
    """Every key, at the place of its value."""
    for token, child in _members(value):
        if isinstance(token, str):
            yield (*path, token), token
        yield from keys(child, (*path, token))


def _members(value: object) -> Iterator[tuple[object, object]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)
