"""What the client of a request says that it can do. In the modern era every request says it anew."""

from collections.abc import Mapping
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

TASKS: Final = "io.modelcontextprotocol/tasks"
"""The name of the tasks extension (SEP-2663)."""

Context = ServerRequestContext[Any, Any]


def is_modern(ctx: Context) -> bool:
    """Whether the request is of the era that has no handshake (2026-07-28)."""
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def knows_tasks(ctx: Context) -> bool:
    """Whether this very request says that its client knows the tasks extension."""
    if not is_modern(ctx):
        return False
    found: object = ctx.params or {}
    for key in ("_meta", types.CLIENT_CAPABILITIES_META_KEY, "extensions", TASKS):
        found = found.get(key) if isinstance(found, Mapping) else None
    return isinstance(found, Mapping)


def opens_links(ctx: Context) -> bool:
    """Whether the client says that it can have its person open a link (MCP 2025-11-25 and later)."""
    capabilities = ctx.session.client_capabilities
    found = None if capabilities is None else capabilities.elicitation
    return found is not None and found.url is not None


def shows_forms(ctx: Context) -> bool:
    """Whether the client says that it can show a form. Saying nothing of modes means forms (MCP 2025-11-25)."""
    capabilities = ctx.session.client_capabilities
    found = None if capabilities is None else capabilities.elicitation
    return found is not None and (found.form is not None or found.url is None)
