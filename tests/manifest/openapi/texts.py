"""Descriptions of services, built from the part a test is about; and a large one like those of real services."""

import json
from typing import Any

from mcp_guard.manifest.imports import described
from mcp_guard.manifest.openapi.document import Source

Doc = dict[str, Any]


def api(paths: Doc, *, version: str = "3.0.3", **more: Any) -> Doc:
    head: Doc = {
        "openapi": version,
        "info": {"title": "Pets", "version": "1"},
        "servers": [{"url": "https://pets.example"}],
    }
    return {**head, "paths": paths, **more}


def operation(*parameters: Doc, **more: Any) -> Doc:
    return {"operationId": "it", "parameters": list(parameters), "responses": {"204": {"description": ""}}, **more}


def parameter(name: str, place: str = "query", schema: Any = None, **more: Any) -> Doc:
    needed = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "schema": schema or {"type": "string"}, **needed, **more}


def json_body(schema: Any, **more: Any) -> Doc:
    return {"required": True, "content": {"application/json": {"schema": schema}}, **more}


def answers(schema: Any, status: str = "200") -> Doc:
    return {status: {"description": "", "content": {"application/json": {"schema": schema}}}}


def read(document: Doc) -> dict[str, Any]:
    """The definitions of the operations of a description."""
    return dict(described(Source("api.json", json.dumps(document).encode())))


def one(*parameters: Doc, path: str = "/x", method: str = "get", whole: Doc | None = None, **more: Any) -> Doc:
    """The definition of the only operation."""
    (found,) = read(api({path: {method: operation(*parameters, **more)}}, **(whole or {}))).values()
    return dict(found)


def large(resources: int = 60) -> Doc:
    """A description in the style of large public services: every resource can be listed, made, read, changed and
    removed, has a parent, and refers to the others."""
    paths: Doc = {}
    schemas: Doc = {"Problem": {"type": "object", "properties": {"message": {"type": "string"}, "x-code": {}}}}
    for n in range(resources):
        name = f"Resource{n}"
        schemas[name] = _resource(n, resources)
        reference = {"$ref": f"#/components/schemas/{name}"}
        page = {"type": "object", "properties": {"items": {"type": "array", "items": reference}}}
        limit = {"$ref": "#/components/parameters/limit"}
        tags = {"tags": [f"group-{n % 7}"], "summary": f"About {name}"}
        paths[f"/orgs/{{org}}/resource{n}s"] = {
            "parameters": [parameter("org", "path")],
            "get": {**tags, "operationId": f"resource{n}s/list", "parameters": [limit], "responses": answers(page)},
            "post": {
                **tags,
                "operationId": f"resource{n}s/create",
                "requestBody": json_body(reference),
                "responses": answers(reference, "201"),
            },
        }
        paths[f"/orgs/{{org}}/resource{n}s/{{resource-id}}"] = {
            "parameters": [
                parameter("org", "path"),
                parameter("resource-id", "path", {"type": "integer", "format": "int64"}),
            ],
            "get": {**tags, "operationId": f"resource{n}s/get", "responses": answers(reference)},
            "patch": {
                **tags,
                "operationId": f"resource{n}s/update",
                "requestBody": json_body(reference),
                "responses": answers(reference),
            },
            "delete": {**tags, "operationId": f"resource{n}s/delete", "responses": {"204": {"description": ""}}},
        }
    limit = parameter("per_page", schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 30})
    components = {
        "schemas": schemas,
        "parameters": {"limit": limit},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    return api(paths, components=components, security=[{"token": []}])


def _resource(n: int, count: int) -> Doc:
    other = {"$ref": f"#/components/schemas/Resource{(n + 1) % count}"}
    return {
        "type": "object",
        "required": ["id", "name"],
        "properties": {
            "id": {"type": "integer", "format": "int64", "readOnly": True, "example": 7},
            "name": {"type": "string", "maxLength": 100, "x-internal": True},
            "state": {"type": "string", "enum": ["open", "closed"], "nullable": True},
            "created_at": {"type": "string", "format": "date-time", "readOnly": True},
            "score": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
            "next": other,
            "owner": {"allOf": [other], "nullable": True},
            "labels": {"type": "array", "items": {"oneOf": [{"type": "string"}, other]}},
        },
    }
