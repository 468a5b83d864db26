"""Bodies of operations that are forms: a field for each argument, and files where the description has bytes."""

from collections.abc import Mapping, Set
from typing import NamedTuple

from mcp_guard.manifest.openapi.document import Api, Unusable
from mcp_guard.manifest.openapi.parameters import Request
from mcp_guard.manifest.openapi.schemas import SCALARS, Closure, kinds, lists_of_scalars
from mcp_guard.manifest.schema_walk import Schema

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
_BYTES = "application/octet-stream"
_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 1024}


class Form(NamedTuple):
    """A form as it is described. `key` is `form` or `multipart`; of its `members` some are `required`."""

    key: str
    media: Mapping[str, object]
    members: Mapping[str, object]
    required: Set[str]


def add_form(api: Api, form: Form, request: Request, sent: Closure) -> Mapping[str, object]:
    """The template of a form, whose arguments are added to the request.

    Fields that are required are needed also where the whole form may be missing: half a form is none. `files` are the
    parts that are bytes, with their type: arguments that name a file. Raises `Unusable`.
    """
    written = api.resolved(form.media.get("schema", {})).get("properties")
    encoding = form.media.get("encoding", {})
    template: dict[str, str] = {}
    files: dict[str, str] = {}
    for name, schema in form.members.items():
        raw = written.get(name) if isinstance(written, Mapping) else None
        said = encoding.get(name) if isinstance(encoding, Mapping) else None
        is_file = form.key == "multipart" and _is_bytes(api, raw)
        if is_file:
            files[name] = _type(said)
        elif said:
            raise Unusable("a field of its form is written in a way of its own")
        one = _file(schema) if is_file else _field(schema, sent)
        here = request.add(name, one, needed=name in form.required, otherwise="body")
        template[name] = f"{{{here}}}"
    return {form.key: template, **({"files": files} if files else {})}


def _field(schema: object, sent: Closure) -> Schema:
    """What a field may be: single values, or a list of them (one field for each)."""
    found: Schema = dict(schema) if isinstance(schema, Mapping) else {}
    root: Schema = {"$defs": sent.defs}
    types = kinds(found, root)
    if types is None:
        return {**found, "type": sorted(SCALARS)}
    if "object" in types or ("array" in types and not lists_of_scalars(found, root)):
        raise Unusable("a field of its form is neither a single value nor a list of them")
    return found


def _file(schema: object) -> Schema:
    words = schema.get("description") if isinstance(schema, Mapping) else None
    return _NAME | {
        "description": f"A file, by its path. {words}" if isinstance(words, str) else "A file, by its path."
    }


def _is_bytes(api: Api, node: object) -> bool:
    """Whether a part is bytes: `format: binary` (OpenAPI 3.0.3), or a media type that is not encoded (3.1)."""
    if not isinstance(node, Mapping):
        return False
    schema = api.resolved(node)
    unencoded = "contentMediaType" in schema and "contentEncoding" not in schema
    return schema.get("format") == "binary" or unencoded


def _type(said: object) -> str:
    """The one type that is said of a file. Raises `Unusable` for what else could be said of it."""
    if not said:
        return _BYTES
    found = said.get("contentType") if isinstance(said, Mapping) and set(said) == {"contentType"} else None
    if not isinstance(found, str):
        raise Unusable("a file of its form is written in a way of its own")
    return found.strip().lower() if "," not in found and "*" not in found else _BYTES
