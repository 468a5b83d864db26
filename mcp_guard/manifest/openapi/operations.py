"""From a description to definitions of operations: what a lock holds, and a person reads before it does.

    method path server        the request; `path` holds arguments, `query`, `headers` and the body (`json`, `form` or
                              `multipart`) their templates; `files` are the parts that are bytes, with their types
    title description tags    what the document says, and nothing else
    inputSchema outputSchema  the arguments, and the result where the document says what it is
    annotations               from the method (RFC 9110, section 9.2): hints, which grant nothing
    security                  alternatives, each from the names of schemes to the header they stand in

An operation that cannot be used has `unusable`, which says why, instead of a request.
"""

import re
from collections.abc import Iterator, Mapping

from mcp_guard.manifest.openapi.body import add_body, output_of
from mcp_guard.manifest.openapi.document import Api, Unusable
from mcp_guard.manifest.openapi.parameters import request_of
from mcp_guard.manifest.openapi.schemas import Closure
from mcp_guard.manifest.openapi.security import alternatives

Definition = dict[str, object]
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_USABLE = frozenset({"get", "head", "post", "put", "patch", "delete"})
_HINTS: Mapping[str, Mapping[str, bool]] = {
    "get": {"readOnlyHint": True},
    "head": {"readOnlyHint": True},
    "put": {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True},
    "delete": {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": True},
}
_WRITES = {"readOnlyHint": False, "destructiveHint": True}
_LONGEST_ID = 256


def operations(api: Api) -> dict[str, Definition]:
    """Every operation of a description by its id: `operationId`, or METHOD_PATH where it has none."""
    found: dict[str, Definition] = {}
    for name, definition in _all(api):
        if name in found:
            found[name] = {**_head(found[name]), "unusable": "two operations have the same operationId"}
        else:
            found[name] = definition
    return found


def _all(api: Api) -> Iterator[tuple[str, Definition]]:
    paths = api.root.get("paths", {})
    for path, item in paths.items() if isinstance(paths, Mapping) else ():
        if not str(path).startswith("x-"):
            yield from _of_path(api, str(path), item)


def _of_path(api: Api, path: str, item: object) -> Iterator[tuple[str, Definition]]:
    try:
        shared = api.resolved(item)
        if isinstance(item, Mapping) and "$ref" in item:
            shared = {**shared, **item}
    except Unusable as why:
        yield _named("any", path, {}), {"method": "ANY", "path": path, "tags": [], "unusable": str(why)}
        return
    for method in _METHODS:
        operation = shared.get(method)
        if isinstance(operation, Mapping):
            yield _named(method, path, operation), _definition(api, method, path, shared, operation)


def _named(method: str, path: str, operation: Mapping[str, object]) -> str:
    name = operation.get("operationId")
    if isinstance(name, str) and name:
        return name
    return f"{method}_{re.sub(r'[^A-Za-z0-9]+', '_', path).strip('_')}".rstrip("_")


def _definition(
    api: Api, method: str, path: str, item: Mapping[str, object], operation: Mapping[str, object]
) -> Definition:
    head: Definition = {"method": method.upper(), "path": path, "tags": _texts(operation.get("tags"))}
    try:
        return head | _request(api, method, path, item, operation)
    except Unusable as why:
        return {**head, "unusable": str(why)}
    except RecursionError:
        return {**head, "unusable": "its schemas are nested too deep"}


def _request(
    api: Api, method: str, path: str, item: Mapping[str, object], operation: Mapping[str, object]
) -> Definition:
    if method not in _USABLE:
        raise Unusable("its method is not supported")
    name = operation.get("operationId")
    if isinstance(name, str) and len(name) > _LONGEST_ID:
        raise Unusable("its operationId is too long")
    sent = Closure(api, sent=True)
    request = request_of(api, path, item, operation, sent)
    body = add_body(api, method, operation, request, sent)
    arguments = {
        "type": "object",
        "properties": request.properties,
        "required": sorted(request.required),
        "additionalProperties": False,
    }
    output = output_of(api, operation) if method != "head" else None
    return {
        "path": request.path,
        "server": _server(api, item, operation),
        "description": _description(method, path, item, operation),
        "annotations": {**_HINTS.get(method, _WRITES), "openWorldHint": True},
        "inputSchema": sent.whole(arguments),
        "query": request.query,
        "headers": request.headers,
        "security": alternatives(api, operation),
        **({"title": title} if (title := _title(operation)) else {}),
        **body,
        **({} if output is None else {"outputSchema": output}),
    }


def _title(operation: Mapping[str, object]) -> str:
    summary = operation.get("summary")
    return summary.strip()[:256] if isinstance(summary, str) else ""


def _description(method: str, path: str, item: Mapping[str, object], operation: Mapping[str, object]) -> str:
    for words in (operation.get("description"), item.get("description"), operation.get("summary")):
        if isinstance(words, str) and words.strip():
            return words.strip() if len(words) <= 4096 else words.strip()[:4095] + "…"
    return f"{method.upper()} {path}"


def _server(api: Api, item: Mapping[str, object], operation: Mapping[str, object]) -> str:
    """The first address there is, as it is written; empty where there is none. Whether it can be used is said later:
    a manifest may name another."""
    for whose in (operation, item, api.root):
        servers = whose.get("servers")
        if isinstance(servers, list) and servers:
            url = servers[0].get("url") if isinstance(servers[0], Mapping) else None
            return url if isinstance(url, str) else ""
    return ""


def _head(definition: Mapping[str, object]) -> Definition:
    return {key: definition[key] for key in ("method", "path", "tags")}


def _texts(value: object) -> list[object]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
