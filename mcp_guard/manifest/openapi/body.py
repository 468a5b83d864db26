"""What an operation is sent, as JSON or a form, and what it answers, as JSON."""

from collections.abc import Mapping

from mcp_guard.manifest.openapi.document import Api, Unusable
from mcp_guard.manifest.openapi.forms import FORM, MULTIPART, Form, add_form
from mcp_guard.manifest.openapi.parameters import Request
from mcp_guard.manifest.openapi.schemas import Closure, kinds
from mcp_guard.manifest.schema_walk import ANNOTATIONS, Schema, definition, reference

_PLAIN = ANNOTATIONS | {"type", "properties", "required", "additionalProperties"}
_BODY = "body"
_JSON = "application/json"


def add_body(
    api: Api, method: str, operation: Mapping[str, object], request: Request, sent: Closure
) -> Mapping[str, object]:
    """What an operation says of its body: `json`, `form` or `multipart`, a template whose arguments are added to the
    request, and nothing where there is no body. JSON goes before a form where there is a choice.

    The members of a plain object are arguments of their own, where none of them has the name of another. Every other
    JSON body is the argument `body`, and so is one that may be missing. Raises `Unusable`.
    """
    if operation.get("requestBody") is None:
        return {}
    if method in ("get", "head"):
        raise Unusable("a request of its method has no body")
    body = api.resolved(operation["requestBody"])
    media = _of_type(body.get("content"), _JSON)
    if media is not None:
        return {"json": _add_json(body, media, request, sent)}
    for kind, key in ((FORM, "form"), (MULTIPART, "multipart")):
        media = _of_type(body.get("content"), kind)
        if media is not None:
            return add_form(api, Form(key, media, *_form_members(media, sent)), request, sent)
    raise Unusable("its body is neither application/json nor a form")


def _add_json(body: Mapping[str, object], media: Mapping[str, object], request: Request, sent: Closure) -> object:
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
    media = _of_type(api.resolved(responses[good[0]]).get("content"), _JSON)
    return media.get("schema") if media is not None else None


def _of_type(content: object, wanted: str) -> Mapping[str, object] | None:
    for kind, media in content.items() if isinstance(content, Mapping) else ():
        if str(kind).partition(";")[0].strip().lower() == wanted:
            return media if isinstance(media, Mapping) else {}
    return None


def _form_members(media: Mapping[str, object], sent: Closure) -> tuple[Mapping[str, object], frozenset[str]]:
    """The fields of a form, and those that have to be there. Raises `Unusable`."""
    schema = sent.take(media.get("schema", {}))
    members = _members(schema, sent)
    if members is None:
        raise Unusable("its form does not say its fields in one place")
    needed = (_plain(schema, sent) or {}).get("required")
    required = frozenset(needed if isinstance(needed, list) else ())
    if required - set(members):
        raise Unusable("its body requires what it does not describe")
    return members, required


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
