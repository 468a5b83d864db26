"""The parameters of an operation: which argument stands where in the request."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mcp_guard.kit.text import visible
from mcp_guard.manifest.openapi.document import Api, Unusable
from mcp_guard.manifest.openapi.schemas import SCALARS, Closure, kinds, lists_of_scalars
from mcp_guard.manifest.schema_walk import Schema

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_]")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_ORDER = {"path": 0, "query": 1, "header": 2}
_STYLES = {"path": "simple", "query": "form", "header": "simple"}
# The connector's own; a parameter of these names means nothing (OpenAPI 3.1, parameter object).
_IGNORED_HEADERS = frozenset({"accept", "content-type"})
_LONGEST = 64


@dataclass(slots=True)
class Request:
    """What a call of the operation is made of: `query` and `headers` from the names there to the arguments here."""

    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Schema] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)

    def add(self, name: str, schema: Schema, *, needed: bool, otherwise: str) -> str:
        """An argument for a name of the document; called `otherwise` as well where that name is taken. Raises
        `Unusable`."""
        here = argument(name)
        if here in self.properties:
            here = argument(f"{otherwise}_{name}")
        if here in self.properties:
            raise Unusable(f"two of its parameters would be the argument {here}")
        self.properties[here] = schema
        if needed:
            self.required.append(here)
        return here


def argument(name: str) -> str:
    """The argument for a name of the document. Raises `Unusable`."""
    found = _NOT_IN_NAMES.sub("_", name)
    found = found if not found[:1].isdigit() else f"_{found}"
    if not 0 < len(found) <= _LONGEST or not found.strip("_"):
        raise Unusable("the name of a parameter is empty or too long")
    return found


def request_of(
    api: Api, path: str, item: Mapping[str, object], operation: Mapping[str, object], sent: Closure
) -> Request:
    """The request without its body. Raises `Unusable`."""
    request = Request(path)
    places: dict[str, str] = {}
    for name, place, parameter in _sorted(api, item, operation):
        schema = _schema(name, place, parameter, sent)
        here = request.add(name, schema, needed=parameter.get("required") is True, otherwise=place)
        if place == "path":
            places[name] = here
            if parameter.get("required") is not True:
                raise Unusable(f"{_shown(name)} stands in the path and is not required")
        else:
            (request.query if place == "query" else request.headers)[name] = f"{{{here}}}"
    request.path = _filled(path, places)
    return request


def _sorted(
    api: Api, item: Mapping[str, object], operation: Mapping[str, object]
) -> list[tuple[str, str, Mapping[str, object]]]:
    """The parameters by place; one of the operation stands for one of the path of the same name and place."""
    found: dict[tuple[str, str], Mapping[str, object]] = {}
    for whose in (item, operation):
        own = [_identified(api.resolved(node)) for node in _list(whose.get("parameters"))]
        if len({key for key, _ in own}) != len(own):
            raise Unusable("two of its parameters have the same name and place")
        found.update(own)
    kept = [(name, place, one) for (place, name), one in found.items() if not _is_ignored(place, name)]
    return sorted(kept, key=lambda one: (_ORDER[one[1]], one[0]))


def _identified(parameter: Mapping[str, object]) -> tuple[tuple[str, str], Mapping[str, object]]:
    place, name = parameter.get("in"), parameter.get("name")
    if not isinstance(name, str) or not isinstance(place, str):
        raise Unusable("a parameter of it has no name or place")
    if place not in _ORDER:
        where = "in a cookie" if place == "cookie" else "where none can"
        raise Unusable(f"the parameter {_shown(name)} stands {where}")
    return (place, name), parameter


def _is_ignored(place: str, name: str) -> bool:
    return place == "header" and name.lower() in _IGNORED_HEADERS


def _schema(name: str, place: str, parameter: Mapping[str, object], sent: Closure) -> Schema:
    """What an argument may be, narrowed to what can stand in its place. Raises `Unusable`."""
    if "schema" not in parameter:
        raise Unusable(f"the parameter {_shown(name)} has no schema, or is written in a media type")
    style = parameter.get("style", _STYLES[place])
    if style != _STYLES[place] or parameter.get("allowReserved") is True:
        raise Unusable(f"the parameter {_shown(name)} is written in a style that is not supported")
    schema = sent.take(parameter["schema"])
    root = {"$defs": sent.defs}
    found = kinds(schema, root)
    if found is None:
        schema = {**schema, "type": sorted(SCALARS)}
    elif "object" in found or ("array" in found and place != "query"):
        raise Unusable(f"the parameter {_shown(name)} is a list or an object, which cannot stand there")
    elif "array" in found and (parameter.get("explode", True) is not True or not lists_of_scalars(schema, root)):
        raise Unusable(f"the list {_shown(name)} is not written as one parameter for each of its single values")
    words = parameter.get("description")
    return {**schema, "description": words} if isinstance(words, str) and words else schema


def _filled(path: str, places: Mapping[str, str]) -> str:
    """The path with arguments where the document has parameters. Raises `Unusable`."""
    named = _PLACEHOLDER.findall(path)
    if sorted(named) != sorted(places):
        raise Unusable("its path and its parameters in the path are not the same")
    filled = _PLACEHOLDER.sub(lambda found: f"{{{places[found.group(1)]}}}", path)
    if set(_PLACEHOLDER.sub("", path)) & set("{}?#\\") or not path.startswith("/"):
        raise Unusable("its path holds more than a path")
    return filled


def _list(value: object) -> Iterator[object]:
    if value is not None and not isinstance(value, list):
        raise Unusable("its parameters are no list")
    yield from value or ()


def _shown(name: str) -> str:
    return visible(name)[:_LONGEST]
