"""A service on loopback made from a description: it answers what is described with the description's own examples."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs

Document = Mapping[str, Any]

_TEXTS = ("octocat", "1.0.0", "sha256:" + "0" * 64)
"""One of them fits whatever pattern the description has."""


@dataclass(frozen=True)
class Operation:
    """A GET that is described with an example of its answer, and with what it cannot do without. `fits` says whether
    the example is what the description itself describes."""

    name: str
    pattern: re.Pattern[str]
    literal: int
    example: object
    fits: bool
    arguments: Mapping[str, object]


@dataclass
class Service:
    """What is answered, and the operations that were asked for."""

    operations: list[Operation]
    hits: list[str] = field(default_factory=list)

    def answer(self, target: str) -> tuple[int, object]:
        """The answer to a GET: that of the operation with the most words of its own in its path."""
        found = [one for one in self.operations if one.pattern.fullmatch(urlsplit(target).path)]
        if not found:
            return 404, {"message": "not described"}
        one = max(found, key=lambda operation: operation.literal)
        self.hits.append(one.name)
        return 200, one.example


def described(document: Document) -> list[Operation]:
    """The GETs of a description that answer JSON and show an example."""
    schemas = {name: _plain(schema) for name, schema in document["components"]["schemas"].items()}
    found = []
    for path, item in document["paths"].items():
        get = item.get("get")
        content = {} if get is None else get["responses"].get("200", {}).get("content", {}).get("application/json", {})
        shown = list(content.get("examples", {}).values())
        if shown and "value" in (example := _resolved(document, shown[0])):
            needed = [_resolved(document, one) for one in (*item.get("parameters", ()), *get.get("parameters", ()))]
            arguments = {one["name"].replace("-", "_"): _value(document, one) for one in needed if one.get("required")}
            schema = {**_plain(content["schema"]), "components": {"schemas": schemas}}
            value = example["value"]
            seen = [value] if isinstance(value, dict) else [value, {"result": value}]  # as it is told to clients
            fits = any(map(jsonschema_rs.Draft4Validator(schema).is_valid, seen))
            pieces = re.split(r"(\{[^}]+\})", path)
            pattern = re.compile("".join("([^/]+)" if piece[:1] == "{" else re.escape(piece) for piece in pieces))
            literal = sum(len(piece) for piece in pieces if piece[:1] != "{")
            found.append(Operation(get["operationId"], pattern, literal, value, fits, arguments))
    return found


@contextmanager
def serving(service: Service) -> Iterator[int]:
    """The port it answers on while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, value = service.answer(self.path)
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def _plain(found: Any) -> Any:
    """A schema of OpenAPI 3.0 as JSON Schema."""
    if isinstance(found, list):
        return [_plain(one) for one in found]
    if not isinstance(found, dict):
        return found
    plain = {key: _plain(value) for key, value in found.items() if key not in ("example", "nullable", "discriminator")}
    return {"anyOf": [plain, {"type": "null"}]} if found.get("nullable") is True else plain


def _resolved(document: Document, found: Document) -> Document:
    while "$ref" in found:
        target: Any = document
        for key in found["$ref"].removeprefix("#/").split("/"):
            target = target[key.replace("~1", "/").replace("~0", "~")]
        found = target
    return found


def _value(document: Document, parameter: Document) -> object:
    """Something its schema lets through."""
    schema = _resolved(document, parameter["schema"])
    for key in ("default", "example"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    if "pattern" in schema:
        return next(text for text in _TEXTS if re.search(schema["pattern"], text))
    kind = schema.get("type")
    return {"integer": 1, "number": 1, "boolean": True, "array": []}.get(str(kind), _TEXTS[0])
