"""From a connector's value to what a client may receive: an object, redacted, without hidden characters, bounded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mcp_guard.connect.content import Block
from mcp_guard.kit import places
from mcp_guard.kit.strict_json import dumps
from mcp_guard.kit.text import strip_hidden
from mcp_guard.model.errors import Refused
from mcp_guard.model.kept import LARGEST_RESULT, Whole


@dataclass(frozen=True, slots=True)
class Shaped:
    """`structured` is what becomes `structuredContent`, `encoded` the same as canonical JSON.

    `stripped` is how many hidden characters were taken out, `redacted` how many places policy hid. `content` are blocks
    that are shown for it where there are any; `typed` says that the tool promises what is structured. `whole` is what
    it is only the beginning of.
    """

    structured: dict[str, object]
    encoded: bytes
    stripped: int = 0
    redacted: int = 0
    content: tuple[Block, ...] = ()
    typed: bool = True
    whole: Whole | None = None

    def without(self, hide: Sequence[str]) -> "Shaped":
        """The same with the places hidden that policy asks for (`kit.places`): nothing of them is left in either."""
        if not hide:
            return self
        structured, redacted = places.hidden(self.structured, hide)
        assert isinstance(structured, dict)
        return replace(self, structured=structured, encoded=dumps(structured), redacted=redacted)


def shape(value: object, redact: Callable[[object], object]) -> Shaped:
    """Wrap what is not an object as `{"result": …}`, redact, strip. Raises `Refused` where the result is too large.

    Hidden characters are taken out because text a person cannot see is text a person cannot have agreed to.
    """
    wrapped: object = value if isinstance(value, dict) else {"result": value}
    # Redacted twice: a hidden character inside a secret keeps it from being recognised until it is stripped.
    stripping = _Stripping()
    structured = redact(stripping.value(redact(wrapped)))
    assert isinstance(structured, dict)
    encoded = dumps(structured)
    if len(encoded) > LARGEST_RESULT:
        raise Refused("upstream_too_large", f"the result is larger than {LARGEST_RESULT} bytes", executed="yes")
    return Shaped(structured, encoded, stripping.count)


class _Stripping:
    """Takes hidden characters out of values, and counts them."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def value(self, value: object) -> object:
        if isinstance(value, str):
            return value if value.isascii() else self._text(value)
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    def _text(self, text: str) -> str:
        clean, count = strip_hidden(text)
        self.count += count
        return clean

    def _object(self, value: dict[str, object]) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, item in value.items():
            name = clean = key if key.isascii() else self._text(key)
            count = 1
            while name in found or (name != key and name in value):  # two members must not become one
                count += 1
                name = f"{clean} {count}"
            found[name] = self.value(item)
        return found
