"""From a connector's value to what a client may receive: an object, redacted, without hidden characters, bounded."""

from collections.abc import Callable
from dataclasses import dataclass

from mcp_guard.kit.strict_json import dumps
from mcp_guard.kit.text import strip_hidden
from mcp_guard.model.errors import Refused

MAX_RESULT_BYTES = 1024 * 1024
"""The largest result a client is sent, as JSON."""


@dataclass(frozen=True, slots=True)
class Shaped:
    """`structured` is what becomes `structuredContent`, `encoded` the same as canonical JSON."""

    structured: dict[str, object]
    encoded: bytes


def shape(value: object, redact: Callable[[object], object]) -> Shaped:
    """Wrap what is not an object as `{"result": …}`, redact, strip. Raises `Refused` where the result is too large.

    Hidden characters are taken out because text a person cannot see is text a person cannot have agreed to.
    """
    wrapped: object = value if isinstance(value, dict) else {"result": value}
    # Redacted twice: a hidden character inside a secret keeps it from being recognised until it is stripped.
    structured = redact(_strip(redact(wrapped)))
    assert isinstance(structured, dict)
    encoded = dumps(structured)
    if len(encoded) > MAX_RESULT_BYTES:
        raise Refused("upstream_too_large", f"the result is larger than {MAX_RESULT_BYTES} bytes", executed="yes")
    return Shaped(structured, encoded)


def _strip(value: object) -> object:
    if isinstance(value, str):
        return value if value.isascii() else strip_hidden(value)[0]
    if isinstance(value, dict):
        return _strip_object(value)
    if isinstance(value, list):
        return [_strip(item) for item in value]
    return value


def _strip_object(value: dict[str, object]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, item in value.items():
        name = clean = key if key.isascii() else strip_hidden(key)[0]
        count = 1
        while name in found or (name != key and name in value):  # two members must not become one
            count += 1
            name = f"{clean} {count}"
        found[name] = _strip(item)
    return found
