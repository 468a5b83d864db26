"""`tools.lock`: what other people's tools were when somebody looked at them and let them in.

A server that is mirrored decides what it says of its tools, and may decide otherwise tomorrow. So nothing it says
reaches an agent before `mcp-guard tools lock` wrote it down here, and a tool that is not any more what stands here is
not called (design: `quarantined`). The home loads from this file alone: no server has to run for that.
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

LOCK_FILE: Final = "tools.lock"
MAX_BYTES: Final = 16 * 1024 * 1024
VERSION: Final = 1

ToolDefinition = Mapping[str, object]
"""What a server said of a tool (`model.tool.definition`)."""
_HINT = "restore it, or make it again with `mcp-guard tools lock`"


@dataclass(frozen=True, slots=True)
class Lock:
    """The locked definitions, by server and by the server's own name of the tool."""

    upstreams: Mapping[str, Mapping[str, ToolDefinition]] = field(default_factory=dict)

    def tools(self, upstream: str) -> Mapping[str, ToolDefinition]:
        return self.upstreams.get(upstream, {})


def read(home: Path) -> Lock:
    """The lock of a home; an empty one where there is none. Raises `Invalid`."""
    try:
        data = bounded_file.read_bytes(home / LOCK_FILE, MAX_BYTES)
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        raise _broken(f"cannot be read: {error.strerror}") from None
    try:
        found = strict_json.loads(data)
    except JsonError:
        raise _broken("is not the JSON it was written as") from None
    upstreams = found.get("upstreams") if isinstance(found, dict) and found.get("version") == VERSION else None
    if not isinstance(upstreams, dict) or not all(map(_is_tools, upstreams.values())):
        raise _broken(f"is not a lock of version {VERSION}")
    return Lock(upstreams)


def write(home: Path, lock: Lock) -> None:
    """Replace the lock of a home as a whole. Raises `OSError`."""
    body = {"version": VERSION, "upstreams": {name: dict(tools) for name, tools in lock.upstreams.items()}}
    text = strict_json.pretty(body)
    draft = home / f".{LOCK_FILE}.{os.getpid()}"
    try:
        draft.write_text(text + "\n", encoding="utf-8")
        draft.replace(home / LOCK_FILE)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _is_tools(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(tool, dict) for tool in value.values())


def _broken(what: str) -> Invalid:
    return Invalid([Problem("lock", what, LOCK_FILE, 1, 1, _HINT)])
