"""What a server lists of what it offers, page by page, as it is locked."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from mcp.client import Client
from mcp_types import ServerCapabilities
from pydantic import BaseModel

from mcp_guard.model.tool import Primitive, definition

MOST_LISTED: Final = 2000
MOST_PAGES: Final = 100

Listing = Mapping[str, Mapping[str, object]]
"""What a server says of its tools or prompts, by name; of its resources and templates, by URI."""
_Page = tuple[Iterator[tuple[str, BaseModel]], str | None]


async def listed(client: Client, what: Primitive) -> Listing:
    """Everything of one kind that a server lists; nothing where it has none to offer.

    Raises `RuntimeError` for a list without an end.
    """
    if what != "tool" and not _offers(client.server_capabilities, what):
        return {}
    found: dict[str, Mapping[str, object]] = {}
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page, cursor = await _PAGES[what](client, cursor)
        found |= {name: definition(_plain(one), what) for name, one in page}
        if len(found) > MOST_LISTED:
            break
        if not cursor:
            return found
    raise RuntimeError(f"too many {what}s")


def _offers(capabilities: ServerCapabilities, what: Primitive) -> bool:
    """A server is not asked for what it says it does not have: it would answer that with an error, or not at all."""
    return (capabilities.prompts if what == "prompt" else capabilities.resources) is not None


def _plain(one: BaseModel) -> Mapping[str, Any]:
    return one.model_dump(mode="json", by_alias=True, exclude_none=True)


async def _tools(client: Client, cursor: str | None) -> _Page:
    page = await client.list_tools(cursor=cursor)
    return ((one.name, one) for one in page.tools), page.next_cursor


async def _resources(client: Client, cursor: str | None) -> _Page:
    page = await client.list_resources(cursor=cursor)
    return ((str(one.uri), one) for one in page.resources), page.next_cursor


async def _templates(client: Client, cursor: str | None) -> _Page:
    page = await client.list_resource_templates(cursor=cursor)
    return ((one.uri_template, one) for one in page.resource_templates), page.next_cursor


async def _prompts(client: Client, cursor: str | None) -> _Page:
    page = await client.list_prompts(cursor=cursor)
    return ((one.name, one) for one in page.prompts), page.next_cursor


_PAGES: Mapping[Primitive, Callable[[Client, str | None], Awaitable[_Page]]] = {
    "tool": _tools,
    "resource": _resources,
    "template": _templates,
    "prompt": _prompts,
}
