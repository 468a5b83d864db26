"""Leading the person at a client to the page where they connect an account (MCP elicitation, URL mode), in both eras.

Modern (2026-07-28): the refused call is answered with the link, and sent again once the person agreed to open it.
Legacy (2025-11-25): the request stays open meanwhile. Either way the call is made again once the account is connected,
for which is waited within a bound. A link is put to people a few times, and not again after a no: a model that calls on
and on must not get its way from somebody's weariness.

Whoever opens a link connects an account of theirs for the person it names. So where the client can show it to its
person it is shown to nobody else: the refusal that the model reads is without it. Other clients find it there.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from pydantic import ValidationError

from mcp_guard.confirming import MOST_QUESTIONS
from mcp_guard.identity.oauth.flow import hashed
from mcp_guard.model.call import Answer
from mcp_guard.model.oauth import ConsentLink
from mcp_guard.model.principal import Principal
from mcp_guard.server.declared import Context, is_modern, opens_links
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
        self._put: OrderedDict[str, int] = OrderedDict()

    async def came_back(self, ctx: Context, who: Principal, state: str) -> None:
        """Wait for the account, where the person agreed to open the link that this request state is about."""
        said = ((ctx.params or {}).get("inputResponses") or {}).get(KEY)
        action = said.get("action") if isinstance(said, Mapping) else None
        upstream, _, put = state.removeprefix(PREFIX).partition(" ")
        if action == "accept":
            await self._wait(who, upstream)
        elif action == "decline":
            self._note(put, MOST_QUESTIONS)

    async def lead(
        self, ctx: Context, who: Principal, answer: Answer, link: ConsentLink, *, came_back: bool
    ) -> Answer | dict[str, Any] | None:
        """The refusal as it may go out, or what the client has to ask first (an `InputRequiredResult`); nothing where
        the call is to be made again now. What just `came_back` is not asked at once again."""
        if not opens_links(ctx):
            return answer
        times = self._put.get(_named(link), 0)
        if times >= MOST_QUESTIONS or came_back:
            return _without(answer, link)
        self._note(_named(link), times + 1)
        if is_modern(ctx):
            asking = {"method": "elicitation/create", "params": _plain(_asking(link, None))}
            return {
                "resultType": "input_required",
                "inputRequests": {KEY: asking},
                "requestState": f"{PREFIX}{link.upstream} {_named(link)}",
            }
        return None if await self._ask(ctx, who, link) else _without(answer, link)

    async def _ask(self, ctx: Context, who: Principal, link: ConsentLink) -> bool:
        """Whether the account was connected while a legacy request stayed open for it."""
        if not ctx.session.can_send_request:
            return False
        identifier = self._surface.new_call_id()
        asking = types.ElicitRequest(params=_asking(link, identifier))
        about = ServerMessageMetadata(related_request_id=ctx.request_id)
        try:
            said = await ctx.session.send_request(asking, types.ElicitResult, self._surface.confirming.seconds, about)
            if said.action == "decline":
                self._note(_named(link), MOST_QUESTIONS)
            if said.action != "accept" or not await self._wait(who, link.upstream):
                return False
            await ctx.session.send_elicit_complete(identifier, ctx.request_id)
        except (MCPError, ValidationError):
            return False
        return True

    async def _wait(self, who: Principal, upstream: str) -> bool:
        return await self._surface.connected_within(who, upstream, self._surface.confirming.seconds)

    def _note(self, put: str, times: int) -> None:
        self._put[put] = times
        self._put.move_to_end(put)
        while len(self._put) > _MOST_KNOWN:
            self._put.popitem(last=False)


def _named(link: ConsentLink) -> str:
    """What tells a link apart, and does not open it."""
    return hashed(link.url)


def _without(answer: Answer, link: ConsentLink) -> Answer:
    """The refusal without the link."""
    reason = f"your account at {link.upstream} is not connected; the person you act for is asked to in their client"
    guard = answer.structured["guard"]
    assert isinstance(guard, Mapping), "a refusal"
    told = {**guard, "reason": reason, "connect": {"upstream": link.upstream}}
    return replace(answer, structured={"guard": told}, text=f"denied: {reason}")


def _asking(link: ConsentLink, identifier: str | None) -> types.ElicitRequestURLParams:
    message = f"Connect your account at {link.upstream}, so that your agent's calls can use it in your name."
    return types.ElicitRequestURLParams(message=message, url=link.url, elicitation_id=identifier)


def _plain(params: types.ElicitRequestURLParams) -> dict[str, Any]:
    return params.model_dump(by_alias=True, exclude_none=True)
