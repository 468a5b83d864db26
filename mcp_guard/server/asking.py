"""What another server asks during a call, put to the person at the client of that call, in both protocol eras.

Legacy: the request of the call stays open meanwhile, and the form is a request of ours. Modern (2026-07-28, SEP-2322):
the call is answered with the form while it goes on here, and sent again with what was said; that finds the call that
waits and goes on with it, and never begins another one. Only the process that carries a call out can do so.
"""

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from pydantic import ValidationError

from mcp_guard.model.back_channel import Ask, Form, Move, Report, Said
from mcp_guard.model.call import Answer, ToolCall
from mcp_guard.model.principal import Principal
from mcp_guard.server.declared import Context
from mcp_guard.server.surface import Surface

KEY: Final = "mirrored"
"""The key of the one thing that is asked for."""
PREFIX: Final = "mirrored:"
"""How a request state begins that is about a call which waits for an answer; behind it stands the question's id."""
MOST_EACH: Final = 4
MOST_HELD: Final = 256
"""So many calls of one principal, and of all, wait between two requests; a server that asks more is declined."""
KEPT_SECONDS: Final = 600.0
"""How long the end of a call is kept whose client does not come back."""
OVER: Final = {"reason": "call_over"}


def asking(ctx: Context) -> Ask | None:
    """How to put a form to the client of a legacy request, where it can be sent one."""
    if not ctx.session.can_send_request:
        return None

    async def ask(form: Form) -> Said | None:
        request = types.ElicitRequest(params=_params(form))
        about = ServerMessageMetadata(related_request_id=ctx.request_id)
        try:
            said = await ctx.session.send_request(request, types.ElicitResult, metadata=about)
        except (MCPError, ValidationError):
            return Said("cancel", {})
        return Said(said.action, said.content or {})

    return ask


@dataclass(eq=False)
class _Held:
    """A call that may outlive the request it came with. `question` is what its client has to ask next."""

    whose: str
    told: Report | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    question: tuple[str, Form] | None = None
    ids: dict[str, "asyncio.Future[Said | None]"] = field(default_factory=dict)

    async def report(self, move: Move) -> None:
        """Tell whichever request waits for the call now."""
        if self.told is not None:
            await self.told(move)


class Holding:
    """The calls of modern clients whose servers ask."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._open: dict[str, tuple[_Held, asyncio.Task[Answer]]] = {}

    async def call(self, who: Principal, call: ToolCall, report: Report | None) -> Answer | dict[str, Any]:
        """The answer of a call, or what its client has to ask first (an `InputRequiredResult`).

        Raises `UnknownTool`.
        """
        held = _Held(json.dumps([who.subject, who.client, who.tenant]))

        async def ask(form: Form) -> Said | None:
            return await self._ask(held, task, form)

        telling = None if report is None else held.report
        task = asyncio.create_task(self._surface.call(who, call, telling, ask))
        try:
            return await self._next(held, task, report)
        except asyncio.CancelledError:
            if not held.ids:
                task.cancel()  # what was begun is finished all the same
            raise

    async def again(self, state: str, params: Mapping[str, Any], report: Report | None) -> Answer | dict[str, Any]:
        """The same for a call that comes again with what was said. Raises `MCPError` where it does not wait here."""
        identifier = state.removeprefix(PREFIX)
        if identifier not in self._open:
            raise MCPError(types.INVALID_PARAMS, "The call this answers is over, or waits elsewhere", OVER)
        held, task = self._open[identifier]
        said = (params.get("inputResponses") or {}).get(KEY)
        if not held.ids[identifier].done():
            held.ids[identifier].set_result(_said(said))
            held.question = None
        return await self._next(held, task, report)

    async def _next(self, held: _Held, task: "asyncio.Task[Answer]", report: Report | None) -> Answer | dict[str, Any]:
        held.told = report
        asked = asyncio.ensure_future(held.news.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            held.told = None
            asked.cancel()
        if task.done():
            self._forget(held)
            return task.result()
        held.news.clear()
        if held.question is None:  # it was answered, or given up, meanwhile
            return await self._next(held, task, report)
        identifier, form = held.question
        asking = {"method": "elicitation/create", "params": _params(form).model_dump(by_alias=True, exclude_none=True)}
        return {"resultType": "input_required", "inputRequests": {KEY: asking}, "requestState": f"{PREFIX}{identifier}"}

    async def _ask(self, held: _Held, task: "asyncio.Task[Answer]", form: Form) -> Said | None:
        if not held.ids:
            calls = {one for one, _ in self._open.values()}
            if len(calls) >= MOST_HELD or sum(one.whose == held.whose for one in calls) >= MOST_EACH:
                return None
            task.add_done_callback(lambda _: asyncio.get_running_loop().call_later(KEPT_SECONDS, self._forget, held))
        identifier = os.urandom(16).hex()
        answered: asyncio.Future[Said | None] = asyncio.get_running_loop().create_future()
        held.ids[identifier] = answered
        held.question = identifier, form
        self._open[identifier] = held, task
        held.news.set()
        try:
            return await answered
        finally:
            held.question = None

    def _forget(self, held: _Held) -> None:
        for identifier in held.ids:
            self._open.pop(identifier, None)


def _said(said: object) -> Said:
    """What a modern client sends for a form; what is none of the three words is no answer."""
    content = said.get("content") if isinstance(said, Mapping) else None
    action = said.get("action") if isinstance(said, Mapping) else None
    shown = content if isinstance(content, Mapping) else {}
    if action == "accept":
        return Said("accept", shown)
    return Said("decline" if action == "decline" else "cancel", {})


def _params(form: Form) -> types.ElicitRequestFormParams:
    return types.ElicitRequestFormParams(message=form.message, requested_schema=dict(form.schema))
