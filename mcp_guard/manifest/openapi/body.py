"""What an operation is sent and what it answers, as JSON."""

from collections.abc import Mapping

from mcp_guard.manifest.openapi.document import Api, Unusable
from mcp_guard.manifest.openapi.parameters import Request
from mcp_guard.manifest.openapi.schemas import Closure, kinds
from mcp_guard.manifest.schema_walk import ANNOTATIONS, Schema, definition, reference

_PLAIN = ANNOTATIONS | {"type", "properties", "required", "additionalProperties"}
_BODY = "body"


def add_body(api: Api, method: str, operation: Mapping[str, object], request: Request, sent: Closure) -> object | None:
    """The template of the JSON body, whose arguments are added to the request; `None` where there is no body.

    The members of a plain object are arguments of their own, where none of them has the name of another. Every other
    body is the argument `body`, and so is one that may be missing. Raises `Unusable`.
    """
    if operation.get("requestBody") is None:
        return None
    if method in ("get", "head"):
        raise Unusable("a request of its method has no body")
    body = api.resolved(operation["requestBody"])
    media = _json(body.get("content"))
    if media is None:
        raise Unusable("its body is not application/json")
    schema = sent.take(media.get("schema", {}))
    needed = body.get("required") is True
    members = _members(schema, sent) if needed else None
    if members is not None and not {*members} & {*request.properties}:
        return _merged(members, schema, request, sent)
    here = request.add(_BODY, schema, needed=needed, otherwise="request")
    return f"{{{here}}}"


def output_of(api: Api, operation: Mapping[str, object]) -> Schema | None:
    """The schema of the result; `None` where the document does not say it for every success."""
    try:
        schema = _answered(api, operation)
        if schema is None:
            return None
        received = Closure(api, sent=False)
        found = received.take(schema)
        types = kinds(found, {"$defs": received.defs})
        if types == frozenset({"object"}):
            return received.whole({"type": "object", **found})
        if types is not None and "object" not in types:
            return received.whole({"type": "object", "properties": {"result": found}, "required": ["result"]})
    except Unusable:
        pass
    return None


def _answered(api: Api, operation: Mapping[str, object]) -> object | None:
    responses = operation.get("responses")
    good = [key for key in responses if str(key)[:1] == "2"] if isinstance(responses, Mapping) else []
    if len(good) != 1:
        return None
    assert isinstance(responses, Mapping)
    media = _json(api.resolved(responses[good[0]]).get("content"))
    return media.get("schema") if media is not None else None


def _json(content: object) -> Mapping[str, object] | None:
    for kind, media in content.items() if isinstance(content, Mapping) else ():
        if str(kind).partition(";")[0].strip().lower() == "application/json":
            return media if isinstance(media, Mapping) else {}
    return None


def _members(schema: Schema, sent: Closure) -> Mapping[str, object] | None:
    """The members of an object that is all said in one place and has no others."""
    found = _plain(schema, sent)
    properties = found.get("properties") if found is not None else None
    if found is None or found.get("type", "object") != "object" or not isinstance(properties, Mapping):
        return None
    if not set(found) <= _PLAIN or found.get("additionalProperties", False) is not False or not properties:
        return None
    return properties


def _plain(schema: Schema, sent: Closure) -> Schema | None:
    """A schema, or what it is nothing but a reference to."""
    seen = set[str]()
    while (name := reference(schema)) is not None:
        below = definition({"$defs": sent.defs}, name)
        if below is None or name in seen or set(schema) - {"$ref"} - ANNOTATIONS:
            return None
        seen.add(name)
        schema = below
    return schema


def _merged(members: Mapping[str, object], schema: Schema, request: Request, sent: Closure) -> object:
    needed = (_plain(schema, sent) or {}).get("required")
    required = set(needed) if isinstance(needed, list) else set()
    if required - set(members):
        raise Unusable("its body requires what it does not describe")
    template: dict[str, object] = {}
    for name, child in members.items():
        one = child if isinstance(child, dict) else {}
        here = request.add(name, one, needed=name in required, otherwise=_BODY)
        template[name] = f"{{{here}}}"
    return template
