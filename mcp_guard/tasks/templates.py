"""Templates of a workflow filled in from what is journaled: the arguments, and the results of steps done. Pure."""

from collections.abc import Callable, Mapping

from mcp_guard.kit import lookup, strict_json
from mcp_guard.kit.lookup import Lookup
from mcp_guard.kit.pointer import MISSING

Scope = Mapping[str, object]
"""`{"input": arguments, "steps": {id: result}}`."""


class Missing(Exception):
    """A template needs a value that is not there. `name` is the look-up, never a value."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def fill(template: object, scope: Scope) -> object:
    """A value with its templates filled in: a lone `{x}` keeps its type, inside a text a value is written as text.

    Raises `Missing`.
    """
    if isinstance(template, str):
        return _filled(template, scope)
    if isinstance(template, Mapping):
        return {key: fill(child, scope) for key, child in template.items()}
    return [fill(child, scope) for child in template] if isinstance(template, list) else template


def fill_found(template: object, scope: Scope) -> object:
    """`fill`, where a member or item whose value is not there is left out. `MISSING` where nothing is left."""
    if isinstance(template, Mapping):
        members = {key: fill_found(child, scope) for key, child in template.items()}
        return {key: child for key, child in members.items() if child is not MISSING}
    if isinstance(template, list):
        return [child for child in (fill_found(child, scope) for child in template) if child is not MISSING]
    try:
        return fill(template, scope)
    except Missing:
        return MISSING


def reads(template: object) -> frozenset[str]:
    """The steps whose results a value with templates takes anything from."""
    if isinstance(template, str):
        found = lookup.lookups(template) if "{" in template else ()
        return frozenset(each.path[1] for each in found if each.path[0] == "steps")
    parts = template.values() if isinstance(template, Mapping) else template if isinstance(template, list) else ()
    return frozenset().union(*map(reads, parts))


def holds(when: str | None, scope: Scope) -> bool:
    """Whether a condition holds: not where it finds nothing, or something false, zero or empty."""
    if when is None:
        return True
    found = fill_found(when, scope)
    return found is not MISSING and bool(found)


def sentence(text: str, written: Callable[[Lookup], str]) -> str:
    """A text for people, each look-up in it written by `written`."""
    return "".join(part if isinstance(part, str) else written(part) for part in lookup.parse(text))


def value(part: Lookup, scope: Scope) -> object:
    """What a look-up finds. Raises `Missing`."""
    found = lookup.find(scope, part.path)
    if found is MISSING:
        raise Missing(part.name)
    return found


def _filled(text: str, scope: Scope) -> object:
    parts = lookup.parse(text)
    if len(parts) == 1 and isinstance(parts[0], Lookup):
        return value(parts[0], scope)
    return "".join(part if isinstance(part, str) else _as_text(value(part, scope)) for part in parts)


def _as_text(found: object) -> str:
    return found if isinstance(found, str) else strict_json.dumps(found).decode()
