"""`tools.lock`: what other people's tools were when somebody looked at them and let them in.

A server that is mirrored decides what it says of its tools, and may decide otherwise tomorrow. So nothing it says
reaches an agent before `mcp-guard tools lock` wrote it down here, and a tool that is not any more what stands here is
not called (design: `quarantined`). The home loads from this file alone: no server has to run for that. The same holds
for descriptions (OpenAPI) that tools are made of.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mcp_guard.kit import bounded_file, strict_json
from mcp_guard.kit.strict_json import JsonError
from mcp_guard.model.errors import Invalid
from mcp_guard.model.problem import Problem
from mcp_guard.model.tool import Primitive

LOCK_FILE: Final = "tools.lock"
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_ELEMENTS: Final = 2_000_000
VERSION: Final = 3
_KNOWN: Final = (1, 2, VERSION)  # 1 had no imports, 2 only tools
_OTHERS: Final[Mapping[str, Primitive]] = {"resources": "resource", "templates": "template", "prompts": "prompt"}
"""The keys of what is no tool."""

ToolDefinition = Mapping[str, object]
"""What a server said of a tool, or of something else (`model.tool.definition`); what a description said of an operation
(`manifest.openapi`)."""
Definitions = Mapping[str, ToolDefinition]
_NONE: Final[Definitions] = {}
_HINT = "restore it, or make it again with `mcp-guard tools lock`"


@dataclass(frozen=True, slots=True)
class Imported:
    """The locked operations of a description. `document` is its sha256 (hex) where they are all as it has them, so that
    it has to be read again only once it changed; else empty."""

    document: str = ""
    operations: Mapping[str, ToolDefinition] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lock:
    """The locked definitions, by server and by the server's own name of the tool; of imports, by prefix; and of what
    else servers offer, by kind, server, and name or URI."""

    upstreams: Mapping[str, Definitions] = field(default_factory=dict)
    imports: Mapping[str, Imported] = field(default_factory=dict)
    offers: Mapping[Primitive, Mapping[str, Definitions]] = field(default_factory=dict)

    def of(self, upstream: str, what: Primitive = "tool") -> Definitions:
        found = self.upstreams if what == "tool" else self.offers.get(what, {})
        return found.get(upstream, _NONE)

    def imported(self, prefix: str) -> Imported:
        return self.imports.get(prefix, Imported())


def read(home: Path) -> Lock:
    """The lock of a home; an empty one where there is none. Raises `Invalid`."""
    try:
        data = bounded_file.read_bytes(home / LOCK_FILE, MAX_BYTES)
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise _broken(f"cannot be read: {error.strerror}") from None
    try:
        found = strict_json.loads(data, MAX_ELEMENTS)
    except JsonError:
        raise _broken("is not the JSON it was written as") from None
    if not isinstance(found, dict) or found.get("version") not in _KNOWN:
        raise _broken(f"is not a lock of version {VERSION}")
    upstreams, imports = found.get("upstreams"), found.get("imports", {})
    if not isinstance(upstreams, dict) or not all(map(_is_tools, upstreams.values())):
        raise _broken(f"is not a lock of version {VERSION}")
    if not isinstance(imports, dict) or not all(map(_is_imported, imports.values())):
        raise _broken(f"is not a lock of version {VERSION}")
    offers = {what: found.get(key, {}) for key, what in _OTHERS.items()}
    for servers in offers.values():
        if not isinstance(servers, dict) or not all(map(_is_tools, servers.values())):
            raise _broken(f"is not a lock of version {VERSION}")
    described = {name: Imported(one["document"], one["operations"]) for name, one in imports.items()}
    return Lock(upstreams, described, {what: servers for what, servers in offers.items() if servers})


def write(home: Path, lock: Lock) -> None:
    """Replace the lock of a home as a whole. Raises `OSError`."""
    draft = home / f".{LOCK_FILE}.{os.getpid()}"
    try:
        draft.write_text(_text(lock), encoding="utf-8")
        draft.replace(home / LOCK_FILE)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def check(lock: Lock) -> None:
    """Raises `Invalid` for a lock that could not be read again."""
    if len(_text(lock).encode()) > MAX_BYTES:
        raise Invalid(
            [Problem("lock", f"would be larger than {MAX_BYTES} bytes", LOCK_FILE, hint="let fewer tools in")]
        )


def _text(lock: Lock) -> str:
    imports = {
        name: {"document": one.document, "operations": dict(one.operations)} for name, one in lock.imports.items()
    }
    offers = {key: _plain(lock.offers[what]) for key, what in _OTHERS.items() if lock.offers.get(what)}
    return (
        strict_json.pretty({"version": VERSION, "upstreams": _plain(lock.upstreams), "imports": imports, **offers})
        + "\n"
    )


def _plain(servers: Mapping[str, Definitions]) -> dict[str, object]:
    return {name: dict(found) for name, found in servers.items()}


def _is_tools(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(tool, dict) for tool in value.values())


def _is_imported(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("document"), str) and _is_tools(value.get("operations"))


def _broken(what: str) -> Invalid:
    return Invalid([Problem("lock", what, LOCK_FILE, 1, 1, _HINT)])
