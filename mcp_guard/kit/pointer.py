"""JSON Pointer (RFC 6901): looking up and replacing parts of JSON values."""

from collections.abc import Callable, Iterable

MISSING = object()


def parse(pointer: str) -> tuple[str, ...]:
    """Split a pointer into its tokens. Raises `ValueError` where it is not one."""
    if pointer == "":
        return ()
    if not pointer.startswith("/"):
        raise ValueError("a JSON pointer starts with /")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def join(tokens: Iterable[object]) -> str:
    """Write tokens as a pointer."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def is_index(token: str) -> bool:
    """Whether a token is the index of an item: digits, and no zero in front of others (RFC 6901, section 4)."""
    return token.isascii() and token.isdigit() and (len(token) == 1 or not token.startswith("0"))


def get(value: object, pointer: str) -> object:
    """The part a pointer names, or `MISSING`."""
    for token in parse(pointer):
        value = _step(value, token)
        if value is MISSING:
            break
    return value


def replace(value: object, pointer: str, change: Callable[[object], object]) -> object:
    """A copy of `value` with the named part changed; unchanged where the pointer names nothing."""
    return _replace(value, parse(pointer), change)


def _replace(value: object, tokens: tuple[str, ...], change: Callable[[object], object]) -> object:
    if not tokens:
        return change(value)
    child = _step(value, tokens[0])
    if child is MISSING:
        return value
    changed = _replace(child, tokens[1:], change)
    if isinstance(value, dict):
        return {**value, tokens[0]: changed}
    assert isinstance(value, list)
    position = int(tokens[0])
    return [*value[:position], changed, *value[position + 1 :]]


def _step(value: object, token: str) -> object:
    if isinstance(value, dict):
        return value.get(token, MISSING)
    if isinstance(value, list) and is_index(token) and int(token) < len(value):
        return value[int(token)]
    return MISSING
