"""Arguments of a tool as they are typed: strict JSON, and `k=v` pairs where a value is JSON if it reads as JSON."""

from collections.abc import Iterable

from mcp_guard.kit.strict_json import JsonError, loads
from mcp_guard.model.errors import UsageError

_PLAIN_TEXT = ("not_json", "empty")
"""What the JSON reader says of ordinary text. Everything else is JSON that is not acceptable, and never a guess."""


def from_document(text: str, name: str) -> dict[str, object]:
    """One JSON object. Raises `UsageError` naming the parameter, never quoting it."""
    hint = f"""for example {name} '{{"order_id": "ORD-1001"}}'"""
    try:
        value = loads(text.encode())
    except JsonError as error:
        raise UsageError(f"{name} is not JSON: {error}.", hint=hint) from None
    if not isinstance(value, dict):
        raise UsageError(f"{name} takes one JSON object.", hint=hint)
    return value


def from_pairs(pairs: Iterable[str]) -> dict[str, object]:
    """`amount=40` is a number, `order_id=ORD-1001` a text, `id='"40"'` a text too. Raises `UsageError`."""
    found: dict[str, object] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise UsageError("Arguments are written k=v.", hint="use --args for nested values")
        if name in found:
            raise UsageError(f"The argument {name} is given twice.", hint="each once; lists are written in JSON")
        found[name] = _value(name, text)
    return found


def _value(name: str, text: str) -> object:
    try:
        return loads(text.encode())
    except JsonError as error:
        if error.code in _PLAIN_TEXT:
            return text
        hint = f"""to pass it as text, write {name}='"…"' with the quotes"""
        raise UsageError(f"The value of {name} is not acceptable JSON: {error}.", hint=hint) from None
