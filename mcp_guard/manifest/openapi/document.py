"""A description as it was read: its version, its references, and nothing outside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from mcp_guard.kit import bounded_file, pointer, strict_json, yaml
from mcp_guard.kit.strict_json import JsonError
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_ELEMENTS: Final = 1_000_000
_MOST_HOPS = 16
_VERSIONS = ("3.0.", "3.1.")


class Unusable(Exception):
    """Why an operation cannot be a tool, in words that quote nothing but names."""


@dataclass(frozen=True, slots=True)
class Source:
    """The bytes of a description and their sha256 (hex)."""

    shown_as: str
    data: bytes

    @classmethod
    def read(cls, path: Path, shown_as: str) -> "Source":
        """Raises `Invalid`."""
        try:
            data = bounded_file.read_bytes(path, MAX_BYTES)
        except OSError as error:
            hint = "check the path and its permissions"
            raise Invalid([Problem("unreadable", f"cannot be read: {error.strerror}", shown_as, hint=hint)]) from None
        if len(data) > MAX_BYTES:
            raise Invalid([Problem("openapi", f"is larger than {MAX_BYTES} bytes", shown_as, hint="cut it down")])
        return cls(shown_as, data)

    @property
    def digest(self) -> str:
        return sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Api:
    """A description of version 3.0 or 3.1. References are followed inside the document only."""

    root: Mapping[str, object]
    old: bool
    """Whether it is of 3.0, where nothing beside a `$ref` counts."""
    adapted: dict[tuple[str, bool], tuple[dict[str, object], list[str]]] = field(default_factory=dict, compare=False)
    """Schemas of the document as they are enforced, by place and direction, with the places they refer to."""

    @classmethod
    def of(cls, source: Source) -> "Api":
        """Raises `Invalid`."""
        root = _json(source) if source.data.lstrip()[:1] == b"{" else _yaml(source)
        version = root.get("openapi") if isinstance(root, dict) else None
        if not isinstance(root, dict) or not isinstance(version, str) or not version.startswith(_VERSIONS):
            hint = "other versions have to be converted first; it starts with openapi: 3.1.0, for example"
            raise Invalid([Problem("openapi", "is no OpenAPI description of 3.0 or 3.1", source.shown_as, hint=hint)])
        return cls(root, version.startswith("3.0."))

    def at(self, reference: object) -> object:
        """What a reference names. Raises `Unusable`."""
        return self.within(target(reference))

    def within(self, where: str) -> object:
        """The part at a JSON pointer. Raises `Unusable`."""
        try:
            found = pointer.get(self.root, where)
        except ValueError:
            found = pointer.MISSING
        if found is pointer.MISSING:
            raise Unusable("a reference leads nowhere")
        return found

    def resolved(self, node: object) -> Mapping[str, object]:
        """A part that may be a reference to one. Raises `Unusable`."""
        for _ in range(_MOST_HOPS):
            if not isinstance(node, Mapping):
                break
            if "$ref" not in node:
                return node
            node = self.at(node["$ref"])
        raise Unusable("a part of it is not what OpenAPI has there")


def target(reference: object) -> str:
    """The JSON pointer of a reference. Raises `Unusable` for one that leaves the document."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise Unusable("a reference leaves the document")
    return unquote(reference[1:])


def _json(source: Source) -> object:
    try:
        return strict_json.loads(source.data, MAX_ELEMENTS)
    except JsonError as error:
        raise Invalid([Problem("openapi", f"cannot be used: {error}", source.shown_as)]) from None


def _yaml(source: Source) -> object:
    return yaml.parse(source.data, source.shown_as, foreign=True).value
