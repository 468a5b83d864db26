"""Leading the person at a client to the page where they connect an account (MCP elicitation, URL mode), in both eras.

Modern (2026-07-28): the refused call is answered with the link, and sent again once the person agreed to open it.
Legacy (2025-11-25): the request stays open meanwhile. Either way the call is made again once the account is connected,
for which is waited within a bound. Each link is put to people once: a model that calls on and on must not get its way
from somebody's weariness. Whoever is not asked here finds the link in the refusal.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from pydantic import ValidationError

from mcp_guard.model.oauth import ConsentLink
from mcp_guard.model.principal import Principal
from mcp_guard.server.declared import Context, is_modern
from mcp_guard.server.surface import Surface

KEY: Final = "connect"
"""The key of the one thing that is asked for."""
PREFIX: Final = "connect:"
"""How a request state begins that is about a link; behind it stands the name of the upstream."""
_MOST_KNOWN: Final = 10_000


class Leading:
    """Puts links to people; `surface` knows when their account is connected."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._put: OrderedDict[str, None] = OrderedDict()

    async def came_back(self, ctx: Context, who: Principal, state: str) -> None:
        """Wait for the account, where the person agreed to open the link that this request state is about."""
        said = ((ctx.params or {}).get("inputResponses") or {}).get(KEY)
        if isinstance(said, Mapping) and said.get("action") == "accept":
            await self._wait(who, state.removeprefix(PREFIX))

    async def lead(self, ctx: Context, who: Principal, link: ConsentLink) -> dict[str, Any] | bool:
        """What the client has to ask (an `InputRequiredResult`), or whether the call is to be made again now."""
        capabilities = ctx.session.client_capabilities
        elicitation = None if capabilities is None else capabilities.elicitation
        if elicitation is None or elicitation.url is None or link.url in self._put:
            return False
        if is_modern(ctx):
            self._note(link)
            asking = {"method": "elicitation/create", "params": _plain(_asking(link, None))}
            return {
                "resultType": "input_required",
                "inputRequests": {KEY: asking},
                "requestState": f"{PREFIX}{link.upstream}",
            }
        return await self._ask(ctx, who, link)

    async def _ask(self, ctx: Context, who: Principal, link: ConsentLink) -> bool:
        """Whether the account was connected while a legacy request stayed open for it."""
        if not ctx.session.can_send_request:
            return False
        self._note(link)
        identifier = self._surface.new_call_id()
        asking = types.ElicitRequest(params=_asking(link, identifier))
        about = ServerMessageMetadata(related_request_id=ctx.request_id)
        try:
            said = await ctx.session.send_request(asking, types.ElicitResult, self._surface.confirming.seconds, about)
            if said.action != "accept" or not await self._wait(who, link.upstream):
                return False
            await ctx.session.send_elicit_complete(identifier, ctx.request_id)
        except (MCPError, ValidationError):
            return False
        return True

    async def _wait(self, who: Principal, upstream: str) -> bool:
        return await self._surface.connected_within(who, upstream, self._surface.confirming.seconds)

    def _note(self, link: ConsentLink) -> None:
        self._put[link.url] = None
        while len(self._put) > _MOST_KNOWN:
            self._put.popitem(last=False)


def _asking(link: ConsentLink, identifier: str | None) -> types.ElicitRequestURLParams:
    message = f"Connect your account at {link.upstream}, so that your agent's calls can use it in your name."
    return types.ElicitRequestURLParams(message=message, url=link.url, elicitation_id=identifier)


def _plain(params: types.ElicitRequestURLParams) -> dict[str, Any]:
    return params.model_dump(by_alias=True, exclude_none=True)
