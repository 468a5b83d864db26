"""What a call calls sensitive is not kept where the same call repeats it either: in a justification, an answer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from mcp_guard.audit.commitment import Mask, place
from mcp_guard.kit import pointer
from mcp_guard.model.kept import CUT
from mcp_guard.secrets.redact import REDACTED

SHORTEST = 8
"""Characters; what is shorter may be an ordinary word, and replacing it would tear up what is evidence."""
MOST = 64
"""Texts looked for in one call, the longest first."""


def sensitive_texts(parts: Iterable[tuple[object, Sequence[str]]]) -> tuple[str, ...]:
    """The texts and numbers in the sensitive parts of some values, each given with these; longest first."""
    found: set[str] = set()
    for value, sensitive in parts:
        places = (place(value, where) for where in sensitive)
        for where in places:
            if where is not None:
                found.update(text for text in _texts(pointer.get(value, where)) if len(text) >= SHORTEST)
    return tuple(sorted(found, key=lambda text: (-len(text), text))[:MOST])


def without(value: object, texts: Sequence[str]) -> object:
    """A JSON value in which no text and no number repeats one of these texts. Names of members stay."""
    if isinstance(value, str):
        for text in texts:
            value = value.replace(text, REDACTED)
        return _without_begun(value, texts) if value.endswith(CUT) else value
    if isinstance(value, Mask):
        return value
    if isinstance(value, Mapping):
        return {name: without(part, texts) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [without(part, texts) for part in value]
    return REDACTED if isinstance(value, int | float) and str(value) in texts else value


def _without_begun(value: str, texts: Sequence[str]) -> str:
    """A text that was cut, without the beginning of one of these where the cut went through it."""
    shown = value.removesuffix(CUT)
    for text in texts:
        at = shown.find(text[:SHORTEST], max(0, len(shown) - len(text)))
        while at >= 0 and not text.startswith(shown[at:]):
            at = shown.find(text[:SHORTEST], at + 1)
        if at >= 0:
            return shown[:at] + REDACTED + CUT
    return value


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, int | float):
        yield str(value)
